/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Part by part with readlink, which needs no descriptor: one that is opened in a program for a moment could be
 * closed or inherited by another thread meanwhile. The path of a magic link (/proc/self/root, /proc/self/fd/3) is what
 * reading it says.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "real.h"

#define NO_ARG 0xff

/* Events that say from where their paths go, and those about a link itself. */
static const struct way {
	uint16_t event;
	uint8_t base[2]; /* arguments that hold the directories' descriptors: of path and target */
	bool itself[2];
} ways[] = {
	{PYAUDIT_EV_GLOB_GLOB_2, {3, NO_ARG}, {false, false}},
	{PYAUDIT_EV_OS_CHMOD, {2, NO_ARG}, {false, false}},
	{PYAUDIT_EV_OS_CHOWN, {3, NO_ARG}, {false, false}},
	{PYAUDIT_EV_OS_FWALK, {4, NO_ARG}, {false, false}},
	{PYAUDIT_EV_OS_LINK, {2, 3}, {false, true}},
	{PYAUDIT_EV_OS_MKDIR, {2, NO_ARG}, {true, false}},
	{PYAUDIT_EV_OS_REMOVE, {1, NO_ARG}, {true, false}},
	{PYAUDIT_EV_OS_RENAME, {2, 3}, {true, true}},
	{PYAUDIT_EV_OS_RMDIR, {1, NO_ARG}, {true, false}},
	{PYAUDIT_EV_OS_SYMLINK, {NO_ARG, 2}, {false, true}},
	{PYAUDIT_EV_OS_UTIME, {3, NO_ARG}, {false, false}},
	{PYAUDIT_EV_SHUTIL_MOVE, {NO_ARG, NO_ARG}, {true, true}},
	{PYAUDIT_EV_SHUTIL_RMTREE, {1, NO_ARG}, {true, false}},
	{PYAUDIT_EV_TEMPFILE_MKDTEMP, {NO_ARG, NO_ARG}, {true, false}},
	{PYAUDIT_EV_TEMPFILE_MKSTEMP, {NO_ARG, NO_ARG}, {true, false}},
};
static const struct way plain_way = {0, {NO_ARG, NO_ARG}, {false, false}};

/* What is yet to be walked is the rest of the links met on the way, then that of the path given. */
struct walk {
	char *out;	 /* where it has come: "" is the root; NUL terminated */
	size_t n, size;	 /* of it, and room with the NUL */
	const char *links, *links_end; /* within text */
	const char *given, *given_end;
	bool missing; /* from here on there is nothing */
	char text[REAL_PATH_MAX];
};

static ssize_t
read_link(const char *path, char *out, size_t size)
{
	return syscall(SYS_readlinkat, AT_FDCWD, path, out, size);
}

/* The path of an open file: false where it has none, as a socket. */
static bool
path_of_fd(int64_t fd, char *out, size_t size, size_t *ret_n)
{
	char name[48];
	ssize_t n;

	(void)snprintf(name, sizeof(name), "/proc/thread-self/fd/%lld", (long long)fd);
	n = read_link(name, out, size);
	if (n <= 0 || (size_t)n >= size || out[0] != '/')
		return false;
	*ret_n = n == 1 ? 0 : (size_t)n;
	out[*ret_n] = '\0';
	return true;
}

static bool
working_directory(char *out, size_t size, size_t *ret_n)
{
	long n = syscall(SYS_getcwd, out, size);

	/* Another root's has no path that begins here. */
	if (n < 2 || out[0] != '/')
		return false;
	*ret_n = n == 2 ? 0 : (size_t)n - 1;
	out[*ret_n] = '\0';
	return true;
}

/* The next part of the path; false at its end. */
static bool
next_part(struct walk *w, const char **ret, size_t *ret_len)
{
	const char **at = &w->links, *end = w->links_end, *slash;

	while (w->links < w->links_end && *w->links == '/')
		w->links++;
	if (w->links == w->links_end) {
		at = &w->given;
		end = w->given_end;
		while (*at < end && **at == '/')
			(*at)++;
	}
	if (*at == end)
		return false;
	slash = memchr(*at, '/', (size_t)(end - *at));
	*ret = *at;
	*ret_len = (size_t)((slash != NULL ? slash : end) - *at);
	*at += *ret_len;
	return true;
}

static void
go_up(struct walk *w)
{
	while (w->n > 0 && w->out[--w->n] != '/')
		;
	w->out[w->n] = '\0';
}

/* Whether out names a link; then what it says stands before what is yet to be walked. -1: it does not fit. */
static int
follow(struct walk *w)
{
	char *end = w->text + (w->links - w->text);
	size_t room = (size_t)(end - w->text);
	ssize_t n = read_link(w->out, w->text, room);

	if (n < 0) {
		w->missing = errno != EINVAL;
		return errno == ENAMETOOLONG ? -1 : 0;
	}
	if ((size_t)n == room)
		return -1;
	memmove(end - n, w->text, (size_t)n);
	w->links = end - n;
	if (n > 0 && *w->links == '/')
		w->out[w->n = 0] = '\0';
	else
		go_up(w);
	return 1;
}

/* False where it gets too long, or goes in circles. */
static bool
walk(struct walk *w, bool itself)
{
	unsigned n_links = 0;
	const char *part;
	size_t len;

	while (next_part(w, &part, &len)) {
		bool last = w->given == w->given_end && w->links == w->links_end;
		int is_link;

		if (len == 1 && part[0] == '.')
			continue;
		if (len == 2 && part[0] == '.' && part[1] == '.') {
			go_up(w);
			continue;
		}
		if (len + 2 > w->size - w->n)
			return false;
		w->out[w->n++] = '/';
		memcpy(w->out + w->n, part, len);
		w->n += len;
		w->out[w->n] = '\0';
		if (w->missing || (itself && last))
			continue;
		is_link = follow(w);
		if (is_link < 0 || (is_link > 0 && ++n_links > REAL_LINKS_MAX))
			return false;
	}
	return true;
}

/* What only the kernel can tell, where it leads to something: from a directory that lies too deep to have a name, by
 * too long a way. */
static bool
ask_kernel(struct walk *w, int base, const struct pyaudit_value *path, bool itself)
{
	long fd;
	bool told;

	memcpy(w->text, path->s, path->len);
	w->text[path->len] = '\0';
	fd = syscall(SYS_openat, base, w->text, O_PATH | O_CLOEXEC | (itself ? O_NOFOLLOW : 0), 0);
	if (fd < 0)
		return false;
	told = path_of_fd(fd, w->out, w->size, &w->n);
	(void)syscall(SYS_close, (int)fd);
	return told;
}

/* Where @path leads from @base, a descriptor or AT_FDCWD. */
static bool
resolve_text(struct walk *w, const struct pyaudit_value *path, int base, bool itself)
{
	bool known;

	if (path->len == 0 || path->len >= sizeof(w->text) || path->flags != 0 ||
	    memchr(path->s, '\0', path->len) != NULL)
		return false;
	w->n = 0;
	w->out[0] = '\0';
	w->missing = false;
	w->links = w->links_end = w->text + sizeof(w->text);
	w->given = path->s;
	w->given_end = path->s + path->len;
	if (path->s[0] == '/')
		known = true;
	else if (base != AT_FDCWD)
		known = path_of_fd(base, w->out, w->size, &w->n);
	else
		known = working_directory(w->out, w->size, &w->n);
	return (known && walk(w, itself)) || ask_kernel(w, base, path, itself);
}

static int
base_of(const struct pyaudit_event *event, unsigned arg)
{
	const struct pyaudit_value *v = &event->args[arg < event->n_args ? arg : 0];

	if (arg >= event->n_args || v->type != PYAUDIT_TAG_INT || v->i < 0 || v->i > INT32_MAX)
		return AT_FDCWD;
	return (int)v->i;
}

/* Where argument @path leads, into the scratch. */
static __attribute__((noinline)) void
resolve(struct pyaudit_event *event, const struct pyaudit_value *path, int base, bool itself,
	struct pyaudit_value *ret)
{
	const struct pyaudit_value here = pyaudit_value_text(".", 1);
	uint32_t room = event->scratch_size - event->scratch_len;
	struct walk w;
	bool found;

	if (event->scratch == NULL || room < 2)
		return;
	w.out = event->scratch + event->scratch_len;
	w.size = room < REAL_PATH_MAX + 1 ? room : REAL_PATH_MAX + 1;
	if (path->type == PYAUDIT_TAG_NONE && (event->id == PYAUDIT_EV_OS_LISTDIR ||
					       event->id == PYAUDIT_EV_OS_SCANDIR))
		path = &here;
	if (path->type == PYAUDIT_TAG_INT)
		found = path->i >= 0 && path_of_fd(path->i, w.out, w.size, &w.n);
	else
		found = pyaudit_value_is_text(path) && resolve_text(&w, path, base, itself);
	if (!found)
		return;
	if (w.n == 0)
		w.out[w.n++] = '/';
	event->scratch_len += (uint32_t)w.n;
	*ret = pyaudit_value_text(w.out, w.n);
}

/* Texts of events that name no file: what a link is going to say, a database in memory or by a URI, a pattern below a
 * directory of its own. */
static bool
is_no_path(struct pyaudit_event *event, const struct pyaudit_value *v, bool is_target)
{
	if (event->id == PYAUDIT_EV_OS_SYMLINK)
		return !is_target;
	if (event->id == PYAUDIT_EV_SQLITE3_CONNECT)
		return pyaudit_value_is_text(v) && v->len >= 5 &&
		       (v->s[0] == ':' || memcmp(v->s, "file:", 5) == 0);
	if (event->id == PYAUDIT_EV_GLOB_GLOB_2 && event->n_args > 2) {
		pyaudit_event_need_arg(event, 2);
		return event->args[2].type != PYAUDIT_TAG_NONE;
	}
	return false;
}

void
real_resolve(struct pyaudit_event *event)
{
	const struct pyaudit_source *source = pyaudit_event_sources[event->id];
	const struct way *way = &plain_way;

	for (unsigned i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
		if (ways[i].event == event->id)
			way = &ways[i];
	for (unsigned i = 0; i < PYAUDIT_SOURCES_MAX && source[i].how != PYAUDIT_HOW_NONE; i++) {
		bool is_target = source[i].field == PYAUDIT_F_FILE_TARGET;
		unsigned arg = source[i].arg, base = way->base[is_target];

		if ((source[i].field != PYAUDIT_F_FILE_PATH && !is_target) || arg >= event->n_args)
			continue;
		pyaudit_event_need_arg(event, arg);
		if (base < event->n_args)
			pyaudit_event_need_arg(event, base);
		if (!is_no_path(event, &event->args[arg], is_target))
			resolve(event, &event->args[arg], base_of(event, base), way->itself[is_target],
				is_target ? &event->real_target : &event->real);
	}
}
