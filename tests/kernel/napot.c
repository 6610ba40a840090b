// SPDX-License-Identifier: GPL-2.0
/*
 * Is each page of a huge page of 64K the one that is there? As the first program of a RISC-V guest,
 * without a libc: what tests/suites/napot compiles. By process_vm_readv(), which walks page tables
 * with their lock, and by vmsplice(), which does without.
 */
typedef unsigned long ulong;

#define PAGE		4096UL
#define PAGES		16

enum { SYS_PIPE2 = 59, SYS_READ = 63, SYS_WRITE = 64, SYS_VMSPLICE = 75, SYS_REBOOT = 142,
       SYS_GETPID = 172, SYS_MMAP = 222, SYS_PROCESS_VM_READV = 270 };

/* PROT_READ | PROT_WRITE; MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_HUGE_64KB */
#define PROT		0x3
#define MAP		(0x2 | 0x20 | 0x40000 | 16 << 26)

struct range {
	void *base;
	ulong len;
};

static char page[PAGE];

static long call(ulong nr, ulong a, ulong b, ulong c, ulong d, ulong e, ulong f)
{
	register ulong a7 __asm__("a7") = nr, a0 __asm__("a0") = a, a1 __asm__("a1") = b,
		       a2 __asm__("a2") = c, a3 __asm__("a3") = d, a4 __asm__("a4") = e,
		       a5 __asm__("a5") = f;

	__asm__ volatile("ecall" : "+r"(a0)
			 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
	return a0;
}

static void print(const char *text)
{
	ulong len = 0;

	while (text[len])
		len++;
	call(SYS_WRITE, 1, (ulong)text, len, 0, 0, 0);
}

/* A page came from @how, or not. Pages have letters: 'a' for the first one. */
static void check(const char *how, int i, long ret)
{
	char letters[] = "page ?: ?\n";

	letters[5] = 'a' + i;
	letters[8] = ret == PAGE ? page[0] : '-';
	print(ret == PAGE && page[0] == letters[5] ? "ok " : "FAIL ");
	print(how);
	print(letters);
	page[0] = 0;
}

static void run(void)
{
	char *mem = (char *)call(SYS_MMAP, 0, PAGES * PAGE, PROT, MAP, -1, 0);
	int i, fds[2];

	/* An error is near the top. */
	if ((ulong)mem >= -PAGE) {
		print("FAIL there are no huge pages of 64K\n");
		return;
	}
	for (i = 0; i < PAGES; i++)
		mem[i * PAGE] = 'a' + i;
	call(SYS_PIPE2, (ulong)fds, 0, 0, 0, 0, 0);
	for (i = 0; i < PAGES; i++) {
		struct range to = { page, PAGE }, from = { mem + i * PAGE, PAGE };

		check("process_vm_readv, ", i,
		      call(SYS_PROCESS_VM_READV, call(SYS_GETPID, 0, 0, 0, 0, 0, 0), (ulong)&to, 1,
			   (ulong)&from, 1, 0));
		call(SYS_VMSPLICE, fds[1], (ulong)&from, 1, 0, 0, 0);
		check("vmsplice, ", i, call(SYS_READ, fds[0], (ulong)page, PAGE, 0, 0, 0));
	}
}

void _start(void)
{
	run();
	/* LINUX_REBOOT_MAGIC1, _MAGIC2, LINUX_REBOOT_CMD_POWER_OFF */
	call(SYS_REBOOT, 0xfee1dead, 672274793, 0x4321fedc, 0, 0, 0);
}
