/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Three ways, for three troubles: a variable for one program, a file for a host that runs, a word on
 * the kernel's command line for one that does not come up. The files cost two system calls at the
 * start of an interpreter, the command line three: it cannot be left to the daemon to look there, for
 * what starts before the daemon may be what is in trouble.
 */
#include "switch.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pyaudit/wire.h"

#define CMDLINE_MAX 4096 /* COMMAND_LINE_SIZE is 2048 on most machines */

bool
switch_off_in(const char *cmdline, size_t len)
{
	static const char word[] = PYAUDIT_KERNEL_PARAMETER;
	const size_t word_len = sizeof(word) - 1;

	for (size_t at = 0; at < len;) {
		size_t end = at;

		while (end < len && cmdline[end] != ' ' && cmdline[end] != '\n')
			end++;
		if (end - at == word_len && memcmp(cmdline + at, word, word_len) == 0)
			return true;
		at = end + 1;
	}
	return false;
}

bool
switch_off_by_kernel(void)
{
	char cmdline[CMDLINE_MAX];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n = fd >= 0 ? read(fd, cmdline, sizeof(cmdline)) : -1;

	if (fd >= 0)
		(void)close(fd);
	return n > 0 && switch_off_in(cmdline, (size_t)n);
}

bool
switch_is_off(const char *dir)
{
	/* In a program that gained privileges the variable is its caller's, who has no say. */
	const char *disable = secure_getenv(PYAUDIT_ENV_DISABLE);
	char path[128];

	if (disable != NULL && disable[0] != '\0')
		return true;
	if (snprintf(path, sizeof(path), "%s/" PYAUDIT_DISABLE_FILE, dir) < (int)sizeof(path) &&
	    access(path, F_OK) == 0)
		return true;
	return access(PYAUDIT_ETC_DIR "/" PYAUDIT_DISABLE_FILE, F_OK) == 0 || switch_off_by_kernel();
}
