/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a command line starts, seen through the programs that start the one after them: env, sudo, timeout, busybox.
 *
 * Which of their options take the next word is not known here, and need not be: a word behind an option
 * may be its value or the program, and is taken for both. So a name may stand in the list that is none, and none is
 * missing: the n-th word that is surely an operand is at least the n-th operand.
 */
#include <string.h>

#include "event.h"

#define ALL 255 /* options with several values each: any word may be the program */

static const struct runner {
	char name[20];
	uint8_t n_before; /* operands before the program: timeout's duration */
} runners[] = {
	{"busybox", 0},	    {"bwrap", ALL},	 {"catchsegv", 0},   {"choom", 0},
	{"chroot", 1},	    {"chrt", 1},	 {"chpst", 0},	     {"daemonize", 0},
	{"dbus-run-session", 0}, {"doas", 0},	 {"eatmydata", 0},   {"env", 0},
	{"fakechroot", 0},  {"fakeroot", 0},	     {"faketime", 1},
	{"find", ALL},	    {"firejail", ALL},	 {"flock", 1},	     {"gosu", 1},
	{"ionice", 0},	    {"linux32", 0},	 {"linux64", 0},     {"ltrace", 0},
	{"nice", 0},	    {"nohup", 0},	 {"nsenter", ALL},   {"numactl", 0},
	{"parallel", 0},    {"pkexec", 0},	 {"prlimit", 0},     {"proot", ALL},
	{"proxychains", 0}, {"proxychains4", 0}, {"rlwrap", 0},	     {"runcon", 1},
	{"runuser", 1},	    {"setarch", 1},	 {"setpriv", 0},     {"setsid", 0},
	{"setuidgid", 1},   {"softlimit", 0},	 {"ssh-agent", 0},   {"start-stop-daemon", ALL},
	{"stdbuf", 0},	    {"strace", 0},	 {"su", 1},	     {"su-exec", 1},
	{"sudo", 0},	    {"systemd-cat", 0},	 {"systemd-inhibit", 0}, {"systemd-run", ALL},
	{"taskset", 1},	    {"time", 0},	 {"timeout", 1},     {"tini", 0},
	{"torsocks", 0},    {"toybox", 0},	 {"unbuffer", 0},    {"unshare", ALL},
	{"valgrind", 0},    {"watch", 0},	 {"xargs", 0},	     {"xvfb-run", 0},
};

static bool
is_runner(const struct pyaudit_value *name, uint8_t *ret_before)
{
	if (name->len > 8 && (memcmp(name->s, "ld-linux", 8) == 0 || memcmp(name->s, "ld-musl-", 8) == 0)) {
		*ret_before = 0;
		return true;
	}
	for (size_t i = 0; i < sizeof(runners) / sizeof(runners[0]); i++)
		if (strlen(runners[i].name) == name->len &&
		    memcmp(runners[i].name, name->s, name->len) == 0) {
			*ret_before = runners[i].n_before;
			return true;
		}
	return false;
}

static struct pyaudit_value
last_component(const char *s, size_t len)
{
	const char *slash = len > 0 ? memrchr(s, '/', len) : NULL;
	const char *start = slash != NULL ? slash + 1 : s;

	return pyaudit_value_text(start, (size_t)(s + len - start));
}

/* Which is the program that it is called by. */
static bool
has_many_names(const struct pyaudit_value *name)
{
	return (name->len == 7 && memcmp(name->s, "busybox", 7) == 0) ||
	       (name->len == 6 && memcmp(name->s, "toybox", 6) == 0);
}

/* env -S 'sh -c id', also as -Ssh and --split-string=sh: the first word of it. */
static struct pyaudit_value
split_string(const char *s, size_t len)
{
	size_t n = 0;

	while (n < len && (s[n] == ' ' || s[n] == '\t'))
		n++;
	s += n;
	len -= n;
	for (n = 0; n < len && s[n] != ' ' && s[n] != '\t';)
		n++;
	return last_component(s, n);
}

/* NAME=value, as env and sudo take it before the program. */
static bool
is_assignment(const struct pyaudit_value *v)
{
	const char *equals = memchr(v->s, '=', v->len);

	return equals != NULL && equals > v->s && memchr(v->s, '/', (size_t)(equals - v->s)) == NULL;
}

unsigned
pyaudit_programs(const struct pyaudit_value *path, const struct pyaudit_value *argv,
		 struct pyaudit_program_word ret[PYAUDIT_PROGRAMS_MAX])
{
	bool behind_option = false;
	unsigned n = 0, n_sure = 0;
	uint8_t n_before;

	ret[n++] = (struct pyaudit_program_word){last_component(path->s, path->len), 0};
	if (!is_runner(&ret[0].name, &n_before))
		return n;
	if (has_many_names(&ret[0].name) && argv->n_items > 0 &&
	    pyaudit_value_is_text(&argv->items[0]) && argv->items[0].len > 0) {
		unsigned login = argv->items[0].s[0] == '-'; /* -sh is sh */
		struct pyaudit_value called =
			last_component(argv->items[0].s + login, argv->items[0].len - login);

		if (!has_many_names(&called)) {
			ret[n++] = (struct pyaudit_program_word){called, 0};
			if (!is_runner(&called, &n_before))
				return n;
		}
	}
	for (unsigned i = 1; i < argv->n_items && n < PYAUDIT_PROGRAMS_MAX; i++) {
		const struct pyaudit_value *v = &argv->items[i];
		struct pyaudit_value name;
		const char *split;

		if (!pyaudit_value_is_text(v) || v->len == 0)
			continue;
		if (v->s[0] == '-' && v->len > 1) {
			behind_option = memchr(v->s, '=', v->len) == NULL && !(v->len == 2 && v->s[1] == '-');
			split = v->s[1] == '-' ? memchr(v->s, '=', v->len) : memchr(v->s, 'S', v->len);
			if (split == NULL || split + 1 == v->s + v->len)
				continue;
			name = split_string(split + 1, (size_t)(v->s + v->len - split - 1));
		} else if (is_assignment(v)) {
			behind_option = false;
			continue;
		} else {
			name = split_string(v->s, v->len);
			n_sure += !behind_option;
			behind_option = false;
		}
		ret[n++] = (struct pyaudit_program_word){name, i};
		/* A blank is a part of the name, where nothing splits it. */
		if (name.s + name.len < v->s + v->len && n < PYAUDIT_PROGRAMS_MAX)
			ret[n++] = (struct pyaudit_program_word){last_component(v->s, v->len), i};
		if (is_runner(&name, &n_before))
			n_sure = 0;
		else if (n_before != ALL && n_sure > n_before)
			break;
	}
	return n;
}
