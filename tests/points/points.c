/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an agent built with test points does at them: PYAUDIT_TEST_POINT=NAME:N:PID in the environment kills
 * the process with SIGKILL when it comes by the point NAME for the Nth time, if it is not PID, which has set
 * that for a child of its own.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

void pyaudit_test_point(const char *name);

void
pyaudit_test_point(const char *name)
{
	static _Thread_local unsigned long n_passed;
	const char *wanted = getenv("PYAUDIT_TEST_POINT");
	size_t len = strlen(name);
	unsigned long n;
	char *end;

	if (wanted == NULL || strncmp(wanted, name, len) != 0 || wanted[len] != ':')
		return;
	n = strtoul(wanted + len + 1, &end, 10);
	if (*end == ':' && strtol(end + 1, NULL, 10) == getpid())
		return;
	if (++n_passed == n)
		(void)syscall(SYS_kill, getpid(), SIGKILL);
}
