/* SPDX-License-Identifier: Apache-2.0 */
/* Fields: six ways to do one thing give the same field. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "event.h"

#define TEXT(t) {.type = PYAUDIT_TAG_STR, .s = (t), .len = sizeof(t) - 1, .full_len = sizeof(t) - 1}
#define INT(n) {.type = PYAUDIT_TAG_INT, .i = (n)}
#define NONE {.type = PYAUDIT_TAG_NONE}
#define OBJECT {.type = PYAUDIT_TAG_OBJECT, .s = "PosixPath", .len = 9, .full_len = 9}
#define LIST(array)                                                                                \
	{.type = PYAUDIT_TAG_LIST, .n_items = sizeof(array) / sizeof((array)[0]),                  \
	 .full_len = sizeof(array) / sizeof((array)[0]), .items = (array)}

static const struct pyaudit_value sh_c[] = {TEXT("sh"), TEXT("-c"), TEXT("id -u")};
static const struct pyaudit_value bash_lc[] = {TEXT("bash"), TEXT("-lc"), TEXT("id")};
static const struct pyaudit_value bash_file[] = {TEXT("bash"), TEXT("script"), TEXT("-c")};
static const struct pyaudit_value bash_o[] = {TEXT("bash"), TEXT("-eo"), TEXT("pipefail"), TEXT("+x"),
					      TEXT("--rcfile"), TEXT("x"), TEXT("-c"), TEXT("id")};
static const struct pyaudit_value env_sh[] = {TEXT("env"), TEXT("-i"), TEXT("A=/b"), TEXT("/bin/sh"), TEXT("-c"),
					      TEXT("id")};
static const struct pyaudit_value env_split[] = {TEXT("env"), TEXT("-S"), TEXT("bash -c id")};
static const struct pyaudit_value env_split_in[] = {TEXT("env"), TEXT("-vSbash -c id")};
static const struct pyaudit_value env_split_long[] = {TEXT("env"), TEXT("--split-string=/bin/zsh -c id")};
static const struct pyaudit_value env_name[] = {TEXT("env"), TEXT("python3"), TEXT("sh"), TEXT("-c")};
static const struct pyaudit_value sudo_sh[] = {TEXT("sudo"), TEXT("-n"), TEXT("-u"), TEXT("www"), TEXT("--"),
					       TEXT("timeout"), TEXT("-k"), TEXT("5"), TEXT("10"), TEXT("nice"),
					       TEXT("-n"), TEXT("5"), TEXT("dash"), TEXT("-c"), TEXT("id")};
static const struct pyaudit_value nohup_ls[] = {TEXT("nohup"), TEXT("ls"), TEXT("sh"), TEXT("-c")};
static const struct pyaudit_value as_sh[] = {TEXT("-sh"), TEXT("-c"), TEXT("id")};
static const struct pyaudit_value applet[] = {TEXT("busybox"), TEXT("sh"), TEXT("-c"), TEXT("id")};
static const struct pyaudit_value called[] = {TEXT("ash"), TEXT("-c"), TEXT("id")};
static const struct pyaudit_value find_exec[] = {TEXT("find"), TEXT("/srv"), TEXT("-name"), TEXT("x"),
						 TEXT("-exec"), TEXT("sh"), TEXT("-c"), TEXT("id"), TEXT(";")};
static const struct pyaudit_value bwrap[] = {TEXT("bwrap"), TEXT("--ro-bind"), TEXT("/"), TEXT("/"), TEXT("sh")};
static const struct pyaudit_value blank[] = {TEXT("nice"), TEXT("/opt/my own/sh"), TEXT("-c"), TEXT("id")};
static const struct pyaudit_value loader[] = {TEXT("ld"), TEXT("--library-path"), TEXT("/x"), TEXT("/bin/sh")};
static const struct pyaudit_value opaque[] = {OBJECT, INT(22)};
static const struct pyaudit_value one_path[] = {TEXT("/usr/bin/ls")};
static const struct pyaudit_value two_paths[] = {TEXT("/usr/local/bin/ls"), TEXT("/usr/bin/ls")};
static const struct pyaudit_value ls[] = {TEXT("ls"), TEXT("-c")};
static const struct pyaudit_value inet[] = {TEXT("10.0.0.1"), INT(443)};
static const struct pyaudit_value inet6[] = {TEXT("fe80::1%eth0"), INT(80), INT(0), INT(2)};
static const struct pyaudit_value netlink[] = {INT(0), INT(0)};

struct fact {
	unsigned event;
	struct pyaudit_value args[4];
	unsigned field;
	const char *wanted; /* "": no value; integers and booleans as decimals */
};

static const struct fact facts[] = {
	{PYAUDIT_EV_OS_SYSTEM, {TEXT("id -u")}, PYAUDIT_F_EXEC_PATH, "/bin/sh"},
	{PYAUDIT_EV_OS_SYSTEM, {TEXT("id -u")}, PYAUDIT_F_EXEC_NAME, "sh"},
	{PYAUDIT_EV_OS_SYSTEM, {TEXT("id -u")}, PYAUDIT_F_EXEC_CMDLINE, "id -u"},
	{PYAUDIT_EV_OS_SYSTEM, {TEXT("id -u")}, PYAUDIT_F_EXEC_ARGV, "[sh,-c,id -u]"},
	{PYAUDIT_EV_OS_SYSTEM, {TEXT("id -u")}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/sh"), LIST(sh_c), TEXT("/tmp"), NONE},
	 PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/sh"), LIST(sh_c), TEXT("/tmp"), NONE},
	 PYAUDIT_F_EXEC_CMDLINE, "sh -c id -u"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/sh"), LIST(sh_c), TEXT("/tmp"), NONE},
	 PYAUDIT_F_EXEC_CWD, "/tmp"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {OBJECT, LIST(ls)}, PYAUDIT_F_EXEC_PATH, ""},
	{PYAUDIT_EV_OS_POSIX_SPAWN, {TEXT("/usr/bin/bash"), LIST(bash_lc), NONE},
	 PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_OS_EXEC, {TEXT("/usr/bin/bash"), LIST(bash_file), NONE}, PYAUDIT_F_EXEC_SHELL,
	 "0"},
	{PYAUDIT_EV_OS_EXEC, {TEXT("/usr/bin/bash"), LIST(bash_o), NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_OS_EXEC, {TEXT("/bin/ls"), LIST(ls), NONE}, PYAUDIT_F_EXEC_SHELL, "0"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("env"), LIST(env_sh), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[env,sh]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("env"), LIST(env_sh), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/usr/bin/env"), LIST(env_split), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[env,bash,bash -c id]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/usr/bin/env"), LIST(env_split), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("env"), LIST(env_split_in), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[env,bash,-vSbash -c id]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("env"), LIST(env_split_in), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("env"), LIST(env_split_long), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[env,zsh,zsh -c id]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("env"), LIST(env_split_long), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("env"), LIST(env_name), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[env,python3]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("env"), LIST(env_name), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "0"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("sudo"), LIST(sudo_sh), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[sudo,www,timeout,5,10,nice,5,dash]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("sudo"), LIST(sudo_sh), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("nohup"), LIST(nohup_ls), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[nohup,ls]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("nohup"), LIST(nohup_ls), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "0"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/ls"), LIST(as_sh), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[ls]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/ls"), LIST(as_sh), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "0"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/sh"), LIST(ls), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[sh]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/sh"), LIST(ls), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/busybox"), LIST(applet), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[busybox,sh]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/busybox"), LIST(applet), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/busybox"), LIST(called), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[busybox,ash]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/bin/busybox"), LIST(called), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("find"), LIST(find_exec), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[find,srv,x,sh,id,;]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("find"), LIST(find_exec), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("bwrap"), LIST(bwrap), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[bwrap,,,sh]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("bwrap"), LIST(bwrap), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "0"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("nice"), LIST(blank), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[nice,my,sh]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("nice"), LIST(blank), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "1"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/lib64/ld-linux-x86-64.so.2"), LIST(loader), NONE, NONE}, PYAUDIT_F_EXEC_PROGRAMS,
	 "[ld-linux-x86-64.so.2,x,sh]"},
	{PYAUDIT_EV_SUBPROCESS_POPEN, {TEXT("/lib64/ld-linux-x86-64.so.2"), LIST(loader), NONE, NONE}, PYAUDIT_F_EXEC_SHELL, "0"},
	{PYAUDIT_EV_OS_SYSTEM, {TEXT("env id")}, PYAUDIT_F_EXEC_PROGRAMS, "[sh]"},
	{PYAUDIT_EV_OPEN, {TEXT("env"), TEXT("r"), INT(0)}, PYAUDIT_F_EXEC_PROGRAMS, ""},
	{PYAUDIT_EV_PTY_SPAWN, {LIST(ls)}, PYAUDIT_F_EXEC_PATH, "ls"},
	{PYAUDIT_EV_POSIXSUBPROCESS_FORK_EXEC, {LIST(sh_c), LIST(bash_lc), NONE},
	 PYAUDIT_F_EXEC_NAME, "sh"},
	{PYAUDIT_EV_POSIXSUBPROCESS_FORK_EXEC, {LIST(one_path), LIST(ls), NONE}, PYAUDIT_F_EXEC_PATH, "/usr/bin/ls"},
	{PYAUDIT_EV_POSIXSUBPROCESS_FORK_EXEC, {LIST(two_paths), LIST(ls), NONE}, PYAUDIT_F_EXEC_PATH, "ls"},
	{PYAUDIT_EV_POSIXSUBPROCESS_FORK_EXEC, {LIST(two_paths), LIST(ls), NONE}, PYAUDIT_F_EXEC_NAME, "ls"},
	{PYAUDIT_EV_POSIXSUBPROCESS_FORK_EXEC, {OBJECT, LIST(ls), NONE}, PYAUDIT_F_EXEC_PATH, ""},
	{PYAUDIT_EV_OPEN, {TEXT("/etc/shadow"), TEXT("r"), INT(O_CLOEXEC)}, PYAUDIT_F_FILE_PATH,
	 "/etc/shadow"},
	{PYAUDIT_EV_OPEN, {TEXT("/etc/shadow"), TEXT("r"), INT(O_CLOEXEC)}, PYAUDIT_F_FILE_NAME,
	 "shadow"},
	{PYAUDIT_EV_OPEN, {TEXT("x"), TEXT("r"), INT(O_CLOEXEC)}, PYAUDIT_F_FILE_WRITE, "0"},
	{PYAUDIT_EV_OPEN, {TEXT("x"), TEXT("r+"), INT(O_RDWR)}, PYAUDIT_F_FILE_WRITE, "1"},
	{PYAUDIT_EV_OPEN, {TEXT("x"), TEXT("a"), INT(0)}, PYAUDIT_F_FILE_WRITE, "1"},
	{PYAUDIT_EV_OPEN, {TEXT("x"), NONE, INT(O_WRONLY | O_CREAT)}, PYAUDIT_F_FILE_WRITE, "1"},
	{PYAUDIT_EV_OPEN, {TEXT("x"), NONE, INT(O_RDONLY)}, PYAUDIT_F_FILE_WRITE, "0"},
	{PYAUDIT_EV_OPEN, {INT(5), TEXT("r"), INT(0)}, PYAUDIT_F_FILE_PATH, ""},
	{PYAUDIT_EV_OPEN, {INT(5), TEXT("r"), INT(0)}, PYAUDIT_F_FILE_FD, "5"},
	{PYAUDIT_EV_OPEN, {OBJECT, TEXT("r"), INT(0)}, PYAUDIT_F_FILE_NAME, ""},
	{PYAUDIT_EV_OS_REMOVE, {TEXT("/a/b/"), INT(-1)}, PYAUDIT_F_FILE_WRITE, "1"},
	{PYAUDIT_EV_OS_LISTDIR, {TEXT("/a")}, PYAUDIT_F_FILE_WRITE, "0"},
	{PYAUDIT_EV_OS_RENAME, {TEXT("a"), TEXT("b")}, PYAUDIT_F_FILE_TARGET, "b"},
	{PYAUDIT_EV_OS_SYSTEM, {TEXT("id")}, PYAUDIT_F_FILE_WRITE, ""},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, LIST(inet)}, PYAUDIT_F_NET_HOST, "10.0.0.1"},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, LIST(inet)}, PYAUDIT_F_NET_IP, "10.0.0.1"},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, LIST(inet)}, PYAUDIT_F_NET_PORT, "443"},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, LIST(inet)}, PYAUDIT_F_NET_FAMILY, "inet"},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, LIST(inet6)}, PYAUDIT_F_NET_IP, "fe80::1"},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, LIST(inet6)}, PYAUDIT_F_NET_FAMILY, "inet6"},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, LIST(opaque)}, PYAUDIT_F_NET_PORT, "22"},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, LIST(netlink)}, PYAUDIT_F_NET_HOST, ""},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, LIST(netlink)}, PYAUDIT_F_NET_PORT, ""},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, TEXT("/run/x.sock")}, PYAUDIT_F_NET_PATH, "/run/x.sock"},
	{PYAUDIT_EV_SOCKET_CONNECT, {OBJECT, TEXT("/run/x.sock")}, PYAUDIT_F_NET_FAMILY, "unix"},
	{PYAUDIT_EV_SOCKET_GETADDRINFO, {TEXT("dead.beef"), TEXT("8080")}, PYAUDIT_F_NET_IP, ""},
	{PYAUDIT_EV_SOCKET_GETADDRINFO, {TEXT("127.1"), NONE}, PYAUDIT_F_NET_IP, "127.1"},
	{PYAUDIT_EV_SOCKET_GETADDRINFO, {TEXT("0x7f000001"), NONE}, PYAUDIT_F_NET_IP, "0x7f000001"},
	{PYAUDIT_EV_SOCKET_GETADDRINFO, {TEXT("1e100.example"), NONE}, PYAUDIT_F_NET_IP, ""},
	{PYAUDIT_EV_SOCKET_GETADDRINFO, {TEXT("10.0.0."), NONE}, PYAUDIT_F_NET_IP, ""},
	{PYAUDIT_EV_SOCKET_GETADDRINFO, {TEXT("a.b"), TEXT("8080")}, PYAUDIT_F_NET_PORT, "8080"},
	{PYAUDIT_EV_SOCKET_GETADDRINFO, {TEXT("a.b"), TEXT("http")}, PYAUDIT_F_NET_PORT, ""},
	{PYAUDIT_EV_URLLIB_REQUEST, {TEXT("https://u:p@Host:81/a/b?q#f")}, PYAUDIT_F_URL_HOST, "Host"},
	{PYAUDIT_EV_URLLIB_REQUEST, {TEXT("https://u:p@Host:81/a/b?q#f")}, PYAUDIT_F_URL_PATH, "/a/b"},
	{PYAUDIT_EV_URLLIB_REQUEST, {TEXT("https://[::1]:81")}, PYAUDIT_F_URL_HOST, "::1"},
	{PYAUDIT_EV_URLLIB_REQUEST, {TEXT("data:text,x")}, PYAUDIT_F_URL_SCHEME, "data"},
	{PYAUDIT_EV_URLLIB_REQUEST, {TEXT("data:text,x")}, PYAUDIT_F_URL_HOST, ""},
	{PYAUDIT_EV_PICKLE_FIND_CLASS, {TEXT("os"), TEXT("system")}, PYAUDIT_F_PICKLE_NAME, "system"},
	{PYAUDIT_EV_OS_KILL, {INT(7), INT(9)}, PYAUDIT_F_ARG1, "9"},
	{PYAUDIT_EV_OS_KILL, {INT(7), INT(9)}, PYAUDIT_F_ARG7, ""},
	{PYAUDIT_EV_OS_KILL, {INT(7), INT(9)}, PYAUDIT_F_EVENT, "os.kill"},
	{PYAUDIT_EV_OS_KILL, {INT(7), INT(9)}, PYAUDIT_F_CALLER_FILE, ""},
};

static void
show(const struct pyaudit_value *v, char *out, size_t size)
{
	int n = 0;

	if (v->type == PYAUDIT_TAG_INT || v->type == PYAUDIT_TAG_BOOL) {
		(void)snprintf(out, size, "%lld", (long long)v->i);
	} else if (v->type == PYAUDIT_TAG_LIST) {
		n = snprintf(out, size, "[");
		for (unsigned i = 0; i < v->n_items; i++)
			n += snprintf(out + n, size - (size_t)n, "%s%.*s", i > 0 ? "," : "",
				      (int)v->items[i].len, v->items[i].s);
		(void)snprintf(out + n, size - (size_t)n, "]");
	} else {
		(void)snprintf(out, size, "%.*s", (int)v->len, v->s);
	}
}

static void
every_event_gives_its_fields(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		char scratch[PYAUDIT_SCRATCH_SIZE] __attribute__((aligned(8)));
		const char *name = pyaudit_events[facts[i].event].name;
		struct pyaudit_event event = {.id = (uint16_t)facts[i].event,
					      .name = name,
					      .name_len = (uint32_t)strlen(name),
					      .n_args = 4,
					      .args = facts[i].args,
					      .scratch = scratch,
					      .scratch_size = sizeof(scratch)};
		char got[256] = "";
		struct pyaudit_value v;

		if (pyaudit_field(&event, facts[i].field, &v))
			show(&v, got, sizeof(got));
		if (strcmp(got, facts[i].wanted) != 0)
			fail_msg("row %zu: %s of %s is '%s', not '%s'", i,
				 pyaudit_fields[facts[i].field].name, name, got, facts[i].wanted);
	}
}

static void
every_name_in_the_tables_is_found_again(void **state)
{
	(void)state;
	for (unsigned i = 1; i < PYAUDIT_N_EVENTS; i++)
		assert_int_equal(pyaudit_event_by_name(pyaudit_events[i].name,
						       strlen(pyaudit_events[i].name)), i);
	for (unsigned i = 0; i < PYAUDIT_N_FIELDS; i++)
		assert_int_equal(pyaudit_field_by_name(pyaudit_fields[i].name,
						       strlen(pyaudit_fields[i].name)), i);
	assert_int_equal(pyaudit_event_by_name("no.such", 7), PYAUDIT_EV_OTHER);
	assert_int_equal(pyaudit_class_by_name("@tamper", 7), PYAUDIT_CLASS_TAMPER);
	assert_int_equal(pyaudit_class_by_name("all", 3) & PYAUDIT_CLASS_NOISE, 0);
}

static const struct pyaudit_value package = TEXT("wanted");

static void
make_frames(struct pyaudit_event *event, unsigned n)
{
	for (unsigned i = 0; i < n && i < 2; i++)
		event->frames[i] = (struct pyaudit_origin){.file = TEXT("/srv/site-packages/wanted.py")};
	event->n_frames = n < 2 ? (uint8_t)n : 2;
	event->caller = 0;
}

static void
make_packages(struct pyaudit_origin *frame)
{
	frame->packages = &package;
	frame->n_packages = 1;
}

/* One rule asks for the caller's package, another one then for the whole stack. */
static void
packages_that_were_asked_for_outlive_the_frames(void **state)
{
	struct pyaudit_origin frames[PYAUDIT_STACK_MAX];
	struct pyaudit_event event = {.frames = frames, .origin = make_frames, .packages = make_packages};

	(void)state;
	pyaudit_event_need_frames(&event, 1);
	pyaudit_event_need_packages(&event, event.caller);
	pyaudit_event_need_frames(&event, PYAUDIT_STACK_MAX);
	assert_int_equal(event.n_frames, 2);
	assert_int_equal(event.frames[0].n_packages, 1);
	assert_int_equal(event.frames[1].n_packages, 0); /* nobody asked */
}

static void
make_lines(struct pyaudit_event *event)
{
	for (unsigned i = 0; i < event->n_frames; i++)
		event->frames[i].line++;
}

/* Made when they are first asked for, and again for frames that are made anew. */
static void
lines_are_made_once_for_the_frames_that_are_there(void **state)
{
	struct pyaudit_origin frames[PYAUDIT_STACK_MAX] = {{.line = 0}};
	struct pyaudit_event event = {.frames = frames, .origin = make_frames, .lines = make_lines};
	struct pyaudit_value line;

	(void)state;
	assert_true(pyaudit_field(&event, PYAUDIT_F_CALLER_LINE, &line));
	assert_int_equal(line.i, 1);
	assert_true(pyaudit_field(&event, PYAUDIT_F_CALLER_LINE, &line));
	pyaudit_event_need_lines(&event);
	assert_int_equal(frames[0].line, 1);
	frames[0].line = 0;
	pyaudit_event_need_frames(&event, PYAUDIT_STACK_MAX);
	assert_int_equal(frames[0].line, 0);
	pyaudit_event_need_lines(&event);
	assert_int_equal(frames[0].line, 1);
	assert_int_equal(frames[1].line, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_made_once_for_the_frames_that_are_there),
		cmocka_unit_test(every_event_gives_its_fields),
		cmocka_unit_test(every_name_in_the_tables_is_found_again),
		cmocka_unit_test(packages_that_were_asked_for_outlive_the_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
