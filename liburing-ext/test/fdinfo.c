/* SPDX-License-Identifier: MIT OR LGPL-2.1-or-later */
/* What `uring-regbuf show` reads: the fdinfo of rings, as kernels write it. */
#include "helpers.h"
#include "../tools/fdinfo.c"

#define HEAD	"pos:\t0\nflags:\t02000002\nSqMask:\t0x3\nUserFiles:\t2\n    0: file\n    1: <none>\n"
#define MIDDLE	"PollList:\n  op=6, task_works=0\nCqOverflowList:\n"

static struct fdinfo_table t;

static bool parse(const char *text)
{
	FILE *f = fmemopen((void *)text, strlen(text), "r");
	bool found;

	CHECK(f);
	free(t.buffers);
	found = fdinfo_read(f, &t);
	fclose(f);
	return found;
}

/* Addresses and lengths; nothing is told of how they are stored. */
static void check_lists(void)
{
	unsigned i;

	CHECK(parse(HEAD "UserBufs:\t4\n    0: <none>\n    1: 0x7f0000001000/4096\n"
		    "    2: 0x0/8192\n    3: 0x7f0000000000/3298534883328\n" MIDDLE));
	CHECK_EQ(t.nr_entries, 4);
	CHECK_EQ(t.nr_buffers, 3);
	CHECK_EQ(t.buffers[0].index, 1);
	CHECK_EQ(t.buffers[0].address, 0x7f0000001000);
	CHECK_EQ(t.buffers[0].bytes, 4096);
	CHECK(t.buffers[1].kernel && !t.buffers[0].kernel);
	CHECK_EQ(t.buffers[2].bytes, 3 * TiB);
	for (i = 0; i < 3; i++)
		CHECK(!t.buffers[i].told);

	CHECK(parse(HEAD "UserBufs:\t0\n" MIDDLE));
	CHECK_EQ(t.nr_buffers, 0);
	/* The ring was busy, or is no ring */
	CHECK(!parse("pos:\t0\nflags:\t02000002\n"));
	/* Files are no buffers, whatever their names */
	CHECK(parse("UserFiles:\t1\n    0: 0x1000/4096\nUserBufs:\t1\n    0: <none>\n" MIDDLE));
	CHECK_EQ(t.nr_buffers, 0);
}

/* Numbers of five digits fill the column: such lines do not begin with a space. */
static void check_long_table(void)
{
	static char text[512 * 1024];
	size_t n = sprintf(text, "%s", HEAD "UserBufs:\t16384\n");
	unsigned i;

	for (i = 0; i < 16384; i++)
		n += i % 5 ? sprintf(text + n, "%5u: <none>\n", i) :
			     sprintf(text + n, "%5u: 0x%x/4096\n", i, (i + 1) * 4096);
	n += sprintf(text + n, "%s", MIDDLE "UserBufLayouts:\n");
	for (i = 0; i < 16384; i += 5)
		n += sprintf(text + n, "  buf=%u, layout=uniform, bvecs=1, metadata=%u, charged=0, "
			     "dir=source+dest\n", i, i);
	CHECK(parse(text));
	CHECK_EQ(t.nr_buffers, 3277);
	for (i = 0; i < t.nr_buffers; i++) {
		CHECK_EQ(t.buffers[i].index, 5 * i);
		CHECK_EQ(t.buffers[i].address, (5 * i + 1) * 4096);
		CHECK(t.buffers[i].told);
		CHECK_EQ(t.buffers[i].metadata, 5 * i);
	}
}

/* Whose memory it is is what is told, and not the address: that of a memfd may be 0. */
static void check_whose(void)
{
	CHECK(parse(HEAD "UserBufs:\t4\n    0: 0x0/4096\n    1: 0x0/8192\n    2: 0x1000/4096\n"
		    "    3: 0x0/512\n" MIDDLE "UserBufLayouts:\n"
		    "  buf=0, layout=uniform, bvecs=1, metadata=512, charged=0, dir=source+dest\n"
		    "  buf=1, layout=uniform, bvecs=1, metadata=512, charged=0, dir=source+dest, memfd\n"
		    "  buf=2, dir=source, memfd\n"
		    "  buf=3, layout=linear, bvecs=1, metadata=56, charged=0, dir=dest, later, kernel\n"));
	CHECK_EQ(t.nr_buffers, 4);
	CHECK(!t.buffers[0].kernel && !t.buffers[0].memfd);
	CHECK(!t.buffers[1].kernel && t.buffers[1].memfd);
	CHECK(!t.buffers[2].kernel && t.buffers[2].memfd);
	CHECK(t.buffers[3].kernel && !t.buffers[3].memfd);
}

static void check_told(void)
{
	CHECK(parse(HEAD "UserBufs:\t4\n    0: 0x7f0000000000/1048576\n    1: <none>\n"
		    "    2: 0x7f0000100000/4096\n    3: 0x0/512\n" MIDDLE
		    "NAPI:\tdisabled\n"
		    "UserBufLayouts:\n"
		    "  buf=0, layout=uniform, bvecs=512, metadata=8240, charged=1048576, dir=source+dest\n"
		    "  buf=2, dir=source\n"
		    "  buf=3, layout=linear, bvecs=1, metadata=560, charged=0, dir=dest, kernel\n"
		    "  buf=9, layout=mixed, bvecs=1, metadata=1, charged=0, dir=source\n"
		    "  buf=x, of some later kernel\n"));
	CHECK_EQ(t.nr_buffers, 3);
	CHECK(t.buffers[0].told && t.buffers[1].told && t.buffers[2].told);
	CHECK(!strcmp(t.buffers[0].layout, "uniform"));
	CHECK_EQ(t.buffers[0].address, 0x7f0000000000);
	CHECK_EQ(t.buffers[0].bvecs, 512);
	CHECK_EQ(t.buffers[0].metadata, 8240);
	CHECK_EQ(t.buffers[0].charged, 1048576);
	CHECK(!strcmp(t.buffers[0].direction, "source+dest"));
	CHECK(!t.buffers[1].layout[0] && !t.buffers[1].bvecs && !t.buffers[1].charged);
	CHECK_EQ(t.buffers[1].bytes, 4096);
	CHECK(!strcmp(t.buffers[1].direction, "source"));
	CHECK(!t.buffers[1].kernel);
	CHECK(!strcmp(t.buffers[2].direction, "dest"));
	CHECK(t.buffers[2].kernel);
	CHECK_EQ(t.buffers[2].bytes, 512);
}

int main(void)
{
	check_lists();
	check_long_table();
	check_told();
	check_whose();
	free(t.buffers);
	return 0;
}
