/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The libc layer: stands in the functions that start programs, so that what raises no audit event
 * (_posixsubprocess.fork_exec before 3.14, C extensions, ctypes on the program's own symbols) is
 * judged as well, by the same policy, on the strings the kernel will get.
 *
 * These functions are called between fork and exec, in vfork children and from signal handlers,
 * in every process that inherits the preload. So the exec family goes to the kernel by system
 * calls, and the search of PATH is made here: looking up libc's own function there could wait for
 * a lock that a thread of the parent held. posix_spawn, system and popen are looked up.
 */
#include <alloca.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <paths.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"
#include "follow.h"

#define EXPORTED __attribute__((visibility("default")))

/* What execvp searches where PATH is not set: confstr(3), _CS_PATH. */
#define DEFAULT_PATH "/bin:/usr/bin"

typedef char *const *string_list;

static struct pyaudit_value
text_of(const char *s)
{
	size_t len = s != NULL ? strlen(s) : 0;
	struct pyaudit_value v =
		pyaudit_value_text(s, len < PYAUDIT_TEXT_MAX ? len : PYAUDIT_TEXT_MAX);

	v.type = PYAUDIT_TAG_BYTES;
	if (len > PYAUDIT_TEXT_MAX) {
		v.flags = PYAUDIT_VALUE_CUT;
		v.full_len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
	}
	return v;
}

static bool
file_exists(const void *path)
{
	return faccessat(AT_FDCWD, path, F_OK, 0) == 0;
}

/* 0, or the error number that the call is to fail with. */
static int
judge_program(const char *event, const char *path, string_list argv,
	      bool (*is_real)(const void *))
{
	struct pyaudit_value words[PYAUDIT_LIST_MAX];
	struct pyaudit_value args[2] = {
		text_of(path), {.type = PYAUDIT_TAG_LIST, .items = words}};

	if (path == NULL || atomic_load_explicit(&agent.policy, memory_order_relaxed) == NULL)
		return 0;
	for (; argv != NULL && argv[args[1].full_len] != NULL; args[1].full_len++)
		if (args[1].full_len < PYAUDIT_LIST_MAX)
			words[args[1].n_items++] = text_of(argv[args[1].full_len]);
	if (args[1].n_items < args[1].full_len)
		args[1].flags = PYAUDIT_VALUE_CUT;
	return -hook_native(event, args, 2, is_real, path);
}

static int
fail(int error)
{
	errno = error;
	return -1;
}

static int
run(const char *path, string_list argv, string_list envp)
{
	int error = judge_program("libc.exec", path, argv, file_exists);
	struct follow_room room;

	room.list = FOLLOW_ROOM(envp);
	if (error == 0)
		error = follow_program(AT_FDCWD, path, 0, path, &envp, &room);
	if (error != 0)
		return fail(error);
	return (int)syscall(SYS_execve, path, argv, envp);
}

/* A file without a known format is a shell script: execvp(3). */
static int
run_script(const char *path, string_list argv, string_list envp)
{
	size_t n = 0;
	char **words;
	union {
		const char *c;
		char *p;
	} shell = {_PATH_BSHELL}, script = {path};

	while (argv[n] != NULL)
		n++;
	words = alloca((n + 3) * sizeof(*words));
	words[0] = shell.p;
	words[1] = script.p;
	words[2] = NULL;
	if (n > 1)
		memcpy(words + 2, argv + 1, n * sizeof(*words));
	return run(_PATH_BSHELL, words, envp);
}

static int
run_or_script(const char *path, string_list argv, string_list envp)
{
	int r = run(path, argv, envp);

	return r < 0 && errno == ENOEXEC ? run_script(path, argv, envp) : r;
}

/* As glibc's execvpe: tries each directory, goes on where there is nothing, remembers EACCES. */
static int
run_by_search(const char *file, string_list argv, string_list envp)
{
	const char *dirs = getenv("PATH");
	size_t file_len = strlen(file);
	bool forbidden = false;
	char path[PATH_MAX + NAME_MAX + 2];

	if (file_len == 0)
		return fail(ENOENT);
	if (strchr(file, '/') != NULL)
		return run_or_script(file, argv, envp);
	if (file_len > NAME_MAX)
		return fail(ENAMETOOLONG);
	errno = ENOENT;
	for (const char *at = dirs != NULL ? dirs : DEFAULT_PATH;; at++) {
		size_t len = strcspn(at, ":");

		if (len < PATH_MAX) {
			memcpy(path, at, len);
			path[len] = '/';
			memcpy(path + len + (len > 0), file, file_len + 1);
			(void)run_or_script(path, argv, envp);
			switch (errno) {
			case EACCES:
				forbidden = true;
				break;
			case ENOENT:
			case ESTALE:
			case ENOTDIR:
			case ENODEV:
			case ETIMEDOUT:
				break;
			default:
				return -1;
			}
		}
		at += len;
		if (*at == '\0')
			break;
	}
	return forbidden ? fail(EACCES) : -1; /* else errno of the last attempt */
}

/* By descriptor: judged by the path the kernel has for it. */
static int
run_by_fd(int dirfd, const char *path, string_list argv, string_list envp, int flags)
{
	char link[32], target[PATH_MAX];
	const char *shown = path;
	struct follow_room room;
	ssize_t n;
	int error;

	room.list = FOLLOW_ROOM(envp);
	if (path != NULL && path[0] == '\0' && (flags & AT_EMPTY_PATH) != 0) {
		(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dirfd);
		n = readlink(link, target, sizeof(target) - 1);
		target[n > 0 ? n : 0] = '\0';
		shown = n > 0 ? target : link;
	}
	error = judge_program("libc.exec", shown, argv, NULL);
	if (error == 0)
		error = follow_program(dirfd, path, flags, shown, &envp, &room);
	if (error != 0)
		return fail(error);
	return (int)syscall(SYS_execveat, dirfd, path, argv, envp, flags);
}

EXPORTED int
execve(const char *path, char *const argv[], char *const envp[])
{
	return run(path, argv, envp);
}

EXPORTED int
execv(const char *path, char *const argv[])
{
	return run(path, argv, environ);
}

EXPORTED int
execvpe(const char *file, char *const argv[], char *const envp[])
{
	return run_by_search(file, argv, envp);
}

EXPORTED int
execvp(const char *file, char *const argv[])
{
	return run_by_search(file, argv, environ);
}

EXPORTED int
fexecve(int fd, char *const argv[], char *const envp[])
{
	/* As libc: unistd.h promises that the lists are there, and libc looks all the same. */
	string_list lists[2] = {argv, envp};

	if (fd < 0 || lists[0] == NULL || lists[1] == NULL)
		return fail(EINVAL);
	return run_by_fd(fd, "", argv, envp, AT_EMPTY_PATH);
}

EXPORTED int
execveat(int dirfd, const char *path, char *const argv[], char *const envp[], int flags)
{
	return run_by_fd(dirfd, path, argv, envp, flags);
}

/* The words of execl and its kin, up to the NULL; `then` gets what stands behind it. */
#define COLLECT_WORDS(words, first, then)                                                          \
	do {                                                                                       \
		va_list counted, taken;                                                            \
		size_t n_words = 1;                                                                \
                                                                                                   \
		va_start(counted, first);                                                          \
		while (va_arg(counted, char *) != NULL)                                            \
			n_words++;                                                                 \
		va_end(counted);                                                                   \
		(words) = alloca((n_words + 1) * sizeof(*(words)));                                \
		va_start(taken, first);                                                            \
		memcpy((words), &(first), sizeof(*(words)));                                       \
		for (size_t at = 1; at <= n_words; at++)                                           \
			(words)[at] = va_arg(taken, char *);                                       \
		then;                                                                              \
		va_end(taken);                                                                     \
	} while (0)

EXPORTED int
execl(const char *path, const char *arg, ...)
{
	char **words;

	COLLECT_WORDS(words, arg, (void)0);
	return run(path, words, environ);
}

EXPORTED int
execlp(const char *file, const char *arg, ...)
{
	char **words;

	COLLECT_WORDS(words, arg, (void)0);
	return run_by_search(file, words, environ);
}

EXPORTED int
execle(const char *path, const char *arg, ...)
{
	char **words, *const *envp;

	COLLECT_WORDS(words, arg, envp = va_arg(taken, char *const *));
	return run(path, words, envp);
}

/* Where posix_spawnp will find @file, in @path; NULL where it will not. */
static const char *
search(const char *file, char path[PATH_MAX + NAME_MAX + 2])
{
	const char *dirs = getenv("PATH");
	size_t file_len = strlen(file);

	for (const char *at = dirs != NULL ? dirs : DEFAULT_PATH;; at++) {
		size_t len = strcspn(at, ":");

		if (len < PATH_MAX && file_len <= NAME_MAX) {
			memcpy(path, at, len);
			path[len] = '/';
			memcpy(path + len + (len > 0), file, file_len + 1);
			if (faccessat(AT_FDCWD, path, X_OK, 0) == 0)
				return path;
		}
		at += len;
		if (*at == '\0')
			return NULL;
	}
}

/* libc's own function of that name. */
static void *
next(const char *name)
{
	return dlsym(RTLD_NEXT, name);
}

typedef int spawn_fn(pid_t *, const char *, const posix_spawn_file_actions_t *,
		     const posix_spawnattr_t *, char *const[], char *const[]);

static int
spawn(const char *name, pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
      const posix_spawnattr_t *attr, string_list argv, string_list envp)
{
	bool searched = strcmp(name, "posix_spawnp") == 0 && strchr(path, '/') == NULL;
	int error = judge_program("libc.posix_spawn", path, argv, searched ? NULL : file_exists);
	char found[PATH_MAX + NAME_MAX + 2];
	struct follow_room room;
	union {
		void *found;
		spawn_fn *call;
	} real;

	room.list = FOLLOW_ROOM(envp);
	if (error == 0)
		error = follow_program(AT_FDCWD, searched ? search(path, found) : path, 0, path, &envp,
				       &room);
	if (error != 0)
		return error;
	real.found = next(name);
	return real.found != NULL ? real.call(pid, path, actions, attr, argv, envp) : ENOSYS;
}

EXPORTED int
posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
	    const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return spawn("posix_spawn", pid, path, actions, attr, argv, envp);
}

EXPORTED int
posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
	     const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
	return spawn("posix_spawnp", pid, file, actions, attr, argv, envp);
}

static int
judge_command(const char *command)
{
	struct pyaudit_value arg = text_of(command);

	return command != NULL ? -hook_native("libc.system", &arg, 1, NULL, NULL) : 0;
}

EXPORTED int
system(const char *command)
{
	union {
		void *found;
		int (*call)(const char *);
	} real;
	int error = judge_command(command);

	if (error != 0)
		return fail(error);
	real.found = next("system");
	return real.found != NULL ? real.call(command) : fail(ENOSYS);
}

EXPORTED FILE *
popen(const char *command, const char *type)
{
	union {
		void *found;
		FILE *(*call)(const char *, const char *);
	} real;
	int error = judge_command(command);

	if (error != 0) {
		errno = error;
		return NULL;
	}
	real.found = next("popen");
	if (real.found == NULL) {
		errno = ENOSYS;
		return NULL;
	}
	return real.call(command, type);
}
