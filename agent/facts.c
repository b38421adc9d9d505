/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "facts.h"
#include "python.h"
#include "secrets.h"

/* Room kept for the arguments: what stands before them may not use it up. */
#define ARGV_ROOM 2048

static struct pyaudit_value
add_string(struct facts_room *room, size_t limit, const char *s, size_t len)
{
	size_t left = limit > room->strings_len ? limit - room->strings_len : 0;
	struct pyaudit_value v;

	if (left == 0)
		return (struct pyaudit_value){0};
	if (len > left - 1)
		len = left - 1;
	memcpy(room->strings + room->strings_len, s, len);
	room->strings[room->strings_len + len] = '\0';
	v = pyaudit_value_text(room->strings + room->strings_len, len);
	room->strings_len += (uint32_t)len + 1;
	return v;
}

static size_t
read_file(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	if (fd < 0)
		return 0;
	while (len < size && (n = read(fd, buf + len, size - len)) > 0)
		len += (size_t)n;
	(void)close(fd);
	return len;
}

/* The unified hierarchy's line, "0::/path". */
static struct pyaudit_value
add_cgroup(struct facts_room *room, size_t limit)
{
	char text[1024];
	size_t len = read_file("/proc/self/cgroup", text, sizeof(text));
	const char *at = text, *end = text + len;

	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));

		if (line_end == NULL)
			line_end = end;
		if (line_end - at > 3 && memcmp(at, "0::", 3) == 0)
			return add_string(room, limit, at + 3, (size_t)(line_end - at - 3));
		at = line_end + 1;
	}
	return add_string(room, limit, "", 0);
}

static void
add_argv(struct facts_room *room)
{
	char text[ARGV_ROOM];
	size_t len = read_file("/proc/self/cmdline", text, sizeof(text));

	for (size_t at = 0; at < len && room->n_argv < PYAUDIT_LIST_MAX;) {
		size_t n = strnlen(text + at, len - at);
		struct pyaudit_value v =
			add_string(room, sizeof(room->strings), text + at, n);

		if (v.type == 0)
			break;
		room->argv[room->n_argv++] = v;
		at += n + 1;
	}
}

static void
set(struct pyaudit_facts *facts, unsigned field, struct pyaudit_value value)
{
	if (value.type == PYAUDIT_TAG_STR && value.len == 0)
		return;
	facts->fact[field - PYAUDIT_F_PROC_PID] = value;
}

void
facts_gather(struct facts_room *room, struct pyaudit_facts *ret)
{
	const size_t limit = sizeof(room->strings) - ARGV_ROOM;
	const char *venv = getenv("VIRTUAL_ENV");
	struct pyaudit_value exe, cwd, cgroup, argv;
	char path[1024];
	ssize_t n;

	memset(ret, 0, sizeof(*ret));
	room->strings_len = 0;
	room->n_argv = 0;
	set(ret, PYAUDIT_F_PROC_PYTHON,
	    add_string(room, limit, python.version, strlen(python.version)));
	n = readlink("/proc/self/exe", path, sizeof(path));
	exe = add_string(room, limit, path, n > 0 ? (size_t)n : 0);
	cwd = add_string(room, limit, path,
			 getcwd(path, sizeof(path)) != NULL ? strlen(path) : 0);
	cgroup = add_cgroup(room, limit);
	set(ret, PYAUDIT_F_PROC_VENV,
	    add_string(room, limit, venv != NULL ? venv : "", venv != NULL ? strlen(venv) : 0));
	add_argv(room);

	argv = (struct pyaudit_value){.type = PYAUDIT_TAG_LIST,
				      .n_items = room->n_argv,
				      .full_len = room->n_argv,
				      .items = room->argv};
	set(ret, PYAUDIT_F_PROC_PID, pyaudit_value_int(getpid()));
	set(ret, PYAUDIT_F_PROC_PPID, pyaudit_value_int(getppid()));
	set(ret, PYAUDIT_F_PROC_UID, pyaudit_value_int(geteuid()));
	set(ret, PYAUDIT_F_PROC_GID, pyaudit_value_int(getegid()));
	set(ret, PYAUDIT_F_PROC_EXE, exe);
	if (pyaudit_value_is_text(&exe)) {
		const char *slash = memrchr(exe.s, '/', exe.len);
		const char *name = slash != NULL ? slash + 1 : exe.s;

		set(ret, PYAUDIT_F_PROC_NAME,
		    pyaudit_value_text(name, (size_t)(exe.s + exe.len - name)));
	}
	set(ret, PYAUDIT_F_PROC_ARGV, argv);
	set(ret, PYAUDIT_F_PROC_SCRIPT, pyaudit_script_of(&argv, room->script, sizeof(room->script)));
	set(ret, PYAUDIT_F_PROC_CWD, cwd);
	set(ret, PYAUDIT_F_PROC_CGROUP, cgroup);
	set(ret, PYAUDIT_F_PROC_UNIT, pyaudit_unit_of(&cgroup));
	set(ret, PYAUDIT_F_PROC_CONTAINER, pyaudit_container_of(&cgroup));
}

void
facts_redact(struct facts_room *room)
{
	struct pyaudit_secrets secrets = {.word = true};
	char strings[sizeof(room->strings)];
	size_t begin, at;
	uint16_t n_argv = 0;

	if (room->n_argv == 0)
		return;
	begin = at = (size_t)(room->argv[0].s - room->strings);
	for (; n_argv < room->n_argv && at < sizeof(strings) - 1; n_argv++) {
		struct pyaudit_value *v = &room->argv[n_argv];
		size_t left = sizeof(strings) - 1 - at, n = v->len;

		/* The last one may have lost its end. */
		if (n_argv == room->n_argv - 1)
			v->flags = PYAUDIT_VALUE_CUT;
		if (pyaudit_secret_likely(&secrets, v))
			n = pyaudit_redact(&secrets, v, strings + at, left);
		else
			memcpy(strings + at, v->s, n < left ? n : left);
		at += n < left ? n : left;
		strings[at++] = '\0';
	}
	memcpy(room->strings + begin, strings + begin, at - begin);
	room->strings_len = (uint32_t)at;
	room->n_argv = n_argv;
}
