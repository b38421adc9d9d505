/* SPDX-License-Identifier: Apache-2.0 */
#include "census.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "process.h"
#include "pyaudit/wire.h"
#include "switch.h"

#define ENVIRON_MAX (256u << 10)
#define LIBRARY "libpyaudit-agent.so"
#define RING "memfd:pyaudit-ring"

bool
census_is_python_name(const char *name, bool *ret_cpython)
{
	static const char *const names[] = {"python", "pypy"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t len = strlen(names[i]);

		/* python, python3, python3.13t, python3-dbg; not python-config. */
		if (strncmp(name, names[i], len) != 0)
			continue;
		len += strspn(name + len, "0123456789.");
		if (name[len] == 't' || name[len] == 'd')
			len++;
		if (name[len] != '\0' && strcmp(name + len, "-dbg") != 0 &&
		    strcmp(name + len, "-intel64") != 0)
			continue;
		*ret_cpython = i == 0;
		return true;
	}
	return false;
}

/* At most @size - 1 bytes of /proc/PID/@name, NUL terminated; their number or a negative errno. */
static ssize_t
read_file(const char *proc, pid_t pid, const char *name, char *out, size_t size)
{
	CLEANUP(closep) int fd = -1;
	char path[256];
	size_t len = 0;

	(void)snprintf(path, sizeof(path), "%s/%d/%s", proc, (int)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	while (len < size - 1) {
		ssize_t n = read(fd, out + len, size - 1 - len);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		len += (size_t)n;
	}
	out[len] = '\0';
	return (ssize_t)len;
}

struct mapped {
	bool library, ring, python, linker;
};

/* Reads the map in pieces: lines are found by what they hold, wherever a piece ends. */
static int
read_maps(const char *proc, pid_t pid, struct mapped *ret)
{
	CLEANUP(closep) int fd = -1;
	char path[256], piece[16384 + 1];
	size_t kept = 0, total = 0;

	(void)snprintf(path, sizeof(path), "%s/%d/maps", proc, (int)pid);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return -errno;
	*ret = (struct mapped){0};
	while (total < CENSUS_MAPS_MAX) {
		ssize_t n = read(fd, piece + kept, sizeof(piece) - 1 - kept);
		const char *end;

		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		total += (size_t)n;
		n += (ssize_t)kept;
		piece[n] = '\0';
		ret->library |= strstr(piece, "/" LIBRARY) != NULL;
		ret->ring |= strstr(piece, RING) != NULL;
		ret->python |= strstr(piece, "/libpython3") != NULL;
		ret->linker |= strstr(piece, "/ld-") != NULL || strstr(piece, "/ld.so") != NULL;
		end = strrchr(piece, '\n');
		kept = end != NULL ? (size_t)(piece + n - end) : 0;
		if (kept > 4096)
			kept = 4096;
		memmove(piece, piece + n - kept, kept);
	}
	return 0;
}

/* /proc/PID/exe of another user's process needs rights, its command line does not. */
static bool
is_python_by_command(const char *proc, pid_t pid)
{
	char text[512];
	const char *slash;
	bool cpython;

	if (read_file(proc, pid, "cmdline", text, sizeof(text)) <= 0)
		return false;
	slash = strrchr(text, '/');
	return census_is_python_name(slash != NULL ? slash + 1 : text, &cpython);
}

void
census_look(struct census *ret, const char *proc, pid_t pid, bool deep)
{
	static const char deleted[] = " (deleted)";
	struct mapped mapped;
	char path[256];
	const char *name;
	ssize_t n;
	int r;

	*ret = (struct census){.state = CENSUS_GONE, .is_cpython = true};
	(void)snprintf(path, sizeof(path), "%s/%d/exe", proc, (int)pid);
	n = readlink(path, ret->exe, sizeof(ret->exe) - 1);
	if (n < 0) {
		ret->exe[0] = '\0';
		ret->is_named = is_python_by_command(proc, pid);
		if (errno == EACCES || errno == EPERM)
			ret->state = CENSUS_HIDDEN;
		return;
	}
	ret->exe[n] = '\0';
	if ((size_t)n > sizeof(deleted) - 1 &&
	    strcmp(ret->exe + n - (sizeof(deleted) - 1), deleted) == 0)
		ret->exe[(size_t)n - (sizeof(deleted) - 1)] = '\0';
	name = strrchr(ret->exe, '/');
	ret->is_named = census_is_python_name(name != NULL ? name + 1 : ret->exe, &ret->is_cpython);
	ret->state = CENSUS_OTHER;
	if (!ret->is_named && !deep)
		return;
	r = read_maps(proc, pid, &mapped);
	if (r < 0) {
		ret->state = r == -EACCES || r == -EPERM ? CENSUS_HIDDEN : CENSUS_GONE;
		return;
	}
	ret->has_linker = mapped.linker;
	if (!ret->is_named && !mapped.python)
		return;
	ret->state = mapped.ring      ? CENSUS_FORKED
		     : mapped.library ? CENSUS_LOADED
				      : CENSUS_WITHOUT;
}

/* The value of a variable in the block that a process was started with, or NULL. */
static const char *
find_variable(const char *block, size_t len, const char *name)
{
	size_t name_len = strlen(name);

	for (const char *at = block; at < block + len; at += strlen(at) + 1)
		if (strncmp(at, name, name_len) == 0 && at[name_len] == '=')
			return at + name_len + 1;
	return NULL;
}

/* Namespaces say nothing of it: as a service the daemon has mounts of its own, as many units have, and yet
 * the host's root. */
static bool
has_other_root(const char *proc, pid_t pid)
{
	struct stat theirs, ours;
	char path[256];

	(void)snprintf(path, sizeof(path), "%s/%d/root/", proc, (int)pid);
	return stat(path, &theirs) == 0 && stat("/", &ours) == 0 &&
	       (theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino);
}

static bool
is_privileged(const char *proc, pid_t pid)
{
	char path[256];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%s/%d/exe", proc, (int)pid);
	return stat(path, &st) == 0 && (st.st_mode & (S_ISUID | S_ISGID)) != 0;
}

/* The library came, and did nothing or cannot be heard. */
static const char *
why_silent(const char *block, size_t len, const char *dir, char ret[CENSUS_WHY_MAX])
{
	const char *disable = find_variable(block, len, PYAUDIT_ENV_DISABLE);
	const char *other = find_variable(block, len, PYAUDIT_ENV_DIR);

	if (disable != NULL && disable[0] != '\0') {
		(void)snprintf(ret, CENSUS_WHY_MAX, PYAUDIT_ENV_DISABLE " keeps its agent out");
		return "disabled";
	}
	if (access(PYAUDIT_ETC_DIR "/" PYAUDIT_DISABLE_FILE, F_OK) == 0) {
		(void)snprintf(ret, CENSUS_WHY_MAX,
			       PYAUDIT_ETC_DIR "/" PYAUDIT_DISABLE_FILE " keeps agents out");
		return "disabled";
	}
	if (switch_off_by_kernel()) {
		(void)snprintf(ret, CENSUS_WHY_MAX,
			       PYAUDIT_KERNEL_PARAMETER " on the kernel's command line keeps agents out");
		return "disabled";
	}
	if (other != NULL && other[0] != '\0' && strcmp(other, dir) != 0) {
		(void)snprintf(ret, CENSUS_WHY_MAX, "its agent looks for a daemon at %.200s", other);
		return "other-daemon";
	}
	(void)snprintf(ret, CENSUS_WHY_MAX,
		       "its agent is loaded and has not reached this daemon: kept out when it started, "
		       "or AF_UNIX or %.200s is out of its reach",
		       dir);
	return "not-attached";
}

const char *
census_why(const struct census *census, const char *proc, pid_t pid, const char *dir,
	   char ret[CENSUS_WHY_MAX])
{
	CLEANUP(freep) char *block = malloc(ENVIRON_MAX);
	const char *preload = NULL;
	ssize_t len = 0;

	if (block != NULL)
		len = read_file(proc, pid, "environ", block, ENVIRON_MAX);
	if (len > 0)
		preload = find_variable(block, (size_t)len, "LD_PRELOAD");
	if (census->state == CENSUS_HIDDEN) {
		(void)snprintf(ret, CENSUS_WHY_MAX, "another user's: it may not be looked into");
		return "hidden";
	}
	if (census->state == CENSUS_LOADED)
		return why_silent(block, len > 0 ? (size_t)len : 0, dir, ret);
	if (!census->is_cpython) {
		(void)snprintf(ret, CENSUS_WHY_MAX, "not CPython: it has no audit hooks for native code");
		return "not-cpython";
	}
	if (is_privileged(proc, pid)) {
		(void)snprintf(ret, CENSUS_WHY_MAX,
			       "set-user-ID: the linker takes no LD_PRELOAD, use enable --host");
		return "setuid";
	}
	if (!census->has_linker) {
		(void)snprintf(ret, CENSUS_WHY_MAX, "a static program: no library can be preloaded");
		return "static";
	}
	if (preload != NULL && strstr(preload, LIBRARY) != NULL) {
		(void)snprintf(ret, CENSUS_WHY_MAX,
			       "the linker could not load the agent%s",
			       has_other_root(proc, pid) ? ": it is not in its root or container"
								: ": see its standard error");
		return "not-loaded";
	}
	if (has_other_root(proc, pid)) {
		(void)snprintf(ret, CENSUS_WHY_MAX, "in a container or another root, without the agent");
		return "namespace";
	}
	(void)snprintf(ret, CENSUS_WHY_MAX, "started without the agent%s",
		       len >= 0 ? ": no LD_PRELOAD in its environment" : "");
	return "without-agent";
}

static bool
has_dropin(const char *dropins, const char *unit, int len, const char *suffix, uint64_t *ret_since_ns)
{
	char path[CENSUS_EXE_MAX];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%.*s%s.d/" CENSUS_DROPIN, dropins, len, unit, suffix) >=
		    (int)sizeof(path) ||
	    stat(path, &st) < 0)
		return false;
	*ret_since_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000u + (uint64_t)st.st_mtim.tv_nsec;
	return true;
}

bool
census_is_enabled(const char *dropins, const char *unit, uint64_t *ret_since_ns)
{
	const char *at = strchr(unit, '@');

	return has_dropin(dropins, unit, (int)strlen(unit), "", ret_since_ns) ||
	       (at != NULL &&
		has_dropin(dropins, unit, (int)(at - unit), "@.service", ret_since_ns));
}

uint64_t
census_started_ns(const char *proc, pid_t pid)
{
	uint64_t since_boot_ns = process_started_ns(proc, pid);
	struct timespec real, boot;

	if (since_boot_ns == 0)
		return 0;
	(void)clock_gettime(CLOCK_REALTIME, &real);
	(void)clock_gettime(CLOCK_BOOTTIME, &boot);
	return (uint64_t)(real.tv_sec - boot.tv_sec) * 1000000000u + (uint64_t)real.tv_nsec -
	       (uint64_t)boot.tv_nsec + since_boot_ns;
}
