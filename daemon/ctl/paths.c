/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the other parts of the installation are: beside this program, PREFIX/bin/pyauditctl, as
 * the kernel says it was started. The build tree has the same layout, so nothing needs a path
 * of its own to run uninstalled, and a moved installation still finds itself. Only the agent may be
 * named otherwise, for builds whose programs and agent are made differently (sanitizers).
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl.h"

struct part {
	const char *below_prefix;
	char path[PATH_MAX];
};

static struct part daemon_part = {.below_prefix = "sbin/pyauditd"};
static struct part agent_part = {.below_prefix = PYAUDIT_LIBDIR "/libpyaudit-agent.so"};
static struct part rules_part = {.below_prefix = "share/pyaudit/rules.d"};
static struct part activate_part = {.below_prefix = "share/pyaudit/activate"};

/* PREFIX of PREFIX/bin/pyauditctl; "/usr" where the kernel does not say. */
static void
find_prefix(char *ret, size_t size)
{
	ssize_t n = readlink("/proc/self/exe", ret, size - 1);
	unsigned i;

	if (n <= 0 || (size_t)n >= size - 1 || ret[0] != '/') {
		(void)snprintf(ret, size, "/usr");
		return;
	}
	ret[n] = '\0';
	for (i = 0; i < 2; i++) {
		char *slash = strrchr(ret, '/');

		if (slash != NULL)
			*slash = '\0';
	}
}

#define ENV_AGENT "PYAUDIT_AGENT"

static const char *
find_part(struct part *part)
{
	char prefix[PATH_MAX / 2];

	if (part->path[0] != '\0')
		return part->path;
	if (part->below_prefix[0] == '/') /* an absolute library directory was configured */
		prefix[0] = '\0';
	else
		find_prefix(prefix, sizeof(prefix));
	(void)snprintf(part->path, sizeof(part->path), "%s%s%s", prefix,
		       part->below_prefix[0] == '/' ? "" : "/", part->below_prefix);
	return part->path;
}

const char *
ctl_daemon_path(void)
{
	return find_part(&daemon_part);
}

const char *
ctl_agent_path(void)
{
	const char *named = getenv(ENV_AGENT);

	if (named != NULL && named[0] == '/')
		return named;
	return find_part(&agent_part);
}

const char *
ctl_default_rules_dir(void)
{
	return find_part(&rules_part);
}

const char *
ctl_activate_dir(void)
{
	return find_part(&activate_part);
}
