// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/swap.h>

#include "zram.h"

#define DEVICE		"/dev/zram0"
#define SETTINGS	"/sys/block/zram0/"

int zram_swap_on(const char *size, struct reason *why)
{
	if (write_string(SETTINGS "disksize", size) ||
	    system("mkswap " DEVICE " >/dev/null") || swapon(DEVICE, 0))
		return because(why, "swap on " DEVICE ": %s", strerror(errno));
	return 0;
}

int zram_swap_off(struct reason *why)
{
	if (swapoff(DEVICE))
		return because(why, "swapoff: %s", strerror(errno));
	write_string(SETTINGS "reset", "1");
	return 0;
}
