/* SPDX-License-Identifier: Apache-2.0 */
/* Where paths lead, in a tree made for the purpose; what the kernel says is asked for beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "real.h"

#define TEXT(s_) {.type = PYAUDIT_TAG_STR, .s = (s_), .len = sizeof(s_) - 1, .full_len = sizeof(s_) - 1}
#define INT(i_) {.type = PYAUDIT_TAG_INT, .i = (i_)}
#define NONE {.type = PYAUDIT_TAG_NONE}
#define N_ARGS 5

static char top[64]; /* the tree's own real path */

static int
set_up(void **state)
{
	char made[] = "/tmp/pyaudit-real-XXXXXX", real[PATH_MAX];
	int fd;

	(void)state;
	assert_non_null(mkdtemp(made));
	assert_non_null(realpath(made, real));
	(void)snprintf(top, sizeof(top), "%.60s", real);
	assert_int_equal(chdir(top), 0);
	assert_int_equal(mkdir("etc", 0755), 0);
	assert_int_equal(mkdir("etc/sub", 0755), 0);
	assert_int_equal(mkdir("srv", 0755), 0);
	fd = open("etc/shadow", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(symlink("../etc", "srv/conf"), 0);
	assert_int_equal(symlink("conf/shadow", "srv/data"), 0);
	assert_int_equal(symlink("/proc/self/root", "srv/root"), 0);
	assert_int_equal(symlink("new", "srv/dangling"), 0);
	assert_int_equal(symlink("loop", "srv/loop"), 0);
	assert_int_equal(symlink("conf/sub/", "srv/slash"), 0);
	return 0;
}

/* Paths in it may be too long to be named from the top. */
static int
take_away(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
	const struct dirent *entry;
	int r = 0;

	if (entries == NULL)
		return unlinkat(dir, name, 0);
	while ((entry = readdir(entries)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			r |= take_away(fd, entry->d_name);
	(void)closedir(entries);
	return r | unlinkat(dir, name, AT_REMOVEDIR);
}

static int
tear_down(void **state)
{
	(void)state;
	return chdir("/") != 0 || take_away(AT_FDCWD, top) != 0;
}

static char scratch[PYAUDIT_SCRATCH_SIZE];

static struct pyaudit_event
event_of(unsigned id, struct pyaudit_value *args, unsigned n_args)
{
	return (struct pyaudit_event){.id = (uint16_t)id, .n_args = (uint8_t)n_args, .args = args,
				      .resolve = real_resolve, .scratch = scratch,
				      .scratch_size = sizeof(scratch)};
}

/* @expected stands below the tree; "" is no value, and what begins with '=' is the whole. */
static void
assert_real(const struct pyaudit_value *real, const char *expected, const char *what)
{
	char whole[2 * PATH_MAX];

	if (expected[0] == '=')
		(void)snprintf(whole, sizeof(whole), "%s", expected + 1);
	else
		(void)snprintf(whole, sizeof(whole), "%s%s", top, expected);
	if (expected[0] == '\0' ? real->type == 0
				: real->type == PYAUDIT_TAG_STR && real->len == strlen(whole) &&
					  memcmp(real->s, whole, real->len) == 0)
		return;
	fail_msg("%s: '%.*s' instead of '%s'", what, real->type != 0 ? (int)real->len : 8,
		 real->type != 0 ? real->s : "no value", expected[0] != '\0' ? whole : "");
}

static void
assert_open(const char *path, const char *expected)
{
	struct pyaudit_value args[3] = {pyaudit_value_text(path, strlen(path)), TEXT("r"), INT(0)};
	struct pyaudit_event event = event_of(PYAUDIT_EV_OPEN, args, 3);
	struct pyaudit_value value;

	if (pyaudit_field(&event, PYAUDIT_F_FILE_REAL, &value))
		assert_true(value.s == event.real.s);
	assert_real(&event.real, expected, path);
	assert_false(pyaudit_field(&event, PYAUDIT_F_FILE_REAL_TARGET, &value));
}

static void
spellings_of_one_path_lead_to_one_file(void **state)
{
	static const char *const spellings[] = {
		"etc/shadow", "./etc/shadow", "etc//shadow", "etc/./shadow", "srv/../etc/shadow",
		"etc/sub/../shadow", "srv/conf/shadow", "srv/data", "srv/conf/../etc/shadow",
		"srv/conf/sub/../shadow", "srv/slash/../shadow", "srv/../srv/./conf//shadow",
		"/proc/self/cwd/etc/shadow", "/proc/thread-self/cwd/srv/data", "srv/slash//..//shadow",
	};
	char path[2 * PATH_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
		assert_open(spellings[i], "/etc/shadow");
		assert_non_null(realpath(spellings[i], path)); /* the test's own tree is right */
	}
	(void)snprintf(path, sizeof(path), "/proc/self/root%s/srv/data", top);
	assert_open(path, "/etc/shadow");
	(void)snprintf(path, sizeof(path), "srv/root/%s/srv/conf/shadow", top);
	assert_open(path, "/etc/shadow");
	(void)snprintf(path, sizeof(path), "//%s/../..%s/srv/data", top, top);
	assert_open(path, "/etc/shadow");
}

static void
what_is_not_there_is_taken_by_its_text(void **state)
{
	(void)state;
	assert_open("srv/conf/new/../x/", "/etc/x");
	assert_open("srv/dangling", "/srv/new"); /* what open would create */
	assert_open("none/../etc/./shadow", "/etc/shadow");
	assert_open("/", "=/");
	assert_open("/..//../", "=/");

	assert_open("", "");
	assert_open("srv/loop", "");
	assert_open("srv/loop/x", "");
}

static void
links_themselves_are_what_some_acts_are_about(void **state)
{
	static struct {
		uint16_t event;
		uint8_t n_args;
		struct pyaudit_value args[N_ARGS];
		const char *real, *target;
	} cases[] = {
		{PYAUDIT_EV_OS_REMOVE, 2, {TEXT("srv/conf/shadow"), INT(-1)}, "/etc/shadow", ""},
		{PYAUDIT_EV_OS_REMOVE, 2, {TEXT("srv/data"), INT(-1)}, "/srv/data", ""},
		{PYAUDIT_EV_OS_REMOVE, 2, {TEXT("srv/conf"), INT(-1)}, "/srv/conf", ""},
		{PYAUDIT_EV_OS_RMDIR, 2, {TEXT("srv/conf/"), INT(-1)}, "/etc", ""},
		{PYAUDIT_EV_OS_RMDIR, 2, {TEXT("srv/conf/."), INT(-1)}, "/etc", ""},
		{PYAUDIT_EV_OS_CHMOD, 3, {TEXT("srv/data"), INT(0), INT(-1)}, "/etc/shadow", ""},
		{PYAUDIT_EV_OS_RENAME, 4, {TEXT("srv/data"), TEXT("srv/conf/x"), INT(-1), INT(-1)},
		 "/srv/data", "/etc/x"},
		{PYAUDIT_EV_OS_LINK, 4, {TEXT("srv/data"), TEXT("x"), INT(-1), INT(-1)},
		 "/etc/shadow", "/x"},
		{PYAUDIT_EV_OS_SYMLINK, 3, {TEXT("srv/data"), TEXT("srv/conf/x"), INT(-1)}, "",
		 "/etc/x"},
		{PYAUDIT_EV_SHUTIL_COPYFILE, 2, {TEXT("etc/shadow"), TEXT("srv/data")}, "/etc/shadow",
		 "/etc/shadow"},
		{PYAUDIT_EV_OS_LISTDIR, 1, {NONE}, "=", ""},
		{PYAUDIT_EV_OPEN, 3, {NONE, TEXT("r"), INT(0)}, "", ""},
		{PYAUDIT_EV_SQLITE3_CONNECT, 1, {TEXT(":memory:")}, "", ""},
		{PYAUDIT_EV_SQLITE3_CONNECT, 1, {TEXT("srv/data")}, "/etc/shadow", ""},
		{PYAUDIT_EV_GLOB_GLOB_2, 4, {TEXT("srv/conf/*"), INT(0), NONE, NONE}, "/etc/*", ""},
		{PYAUDIT_EV_GLOB_GLOB_2, 4, {TEXT("srv/conf/*"), INT(0), TEXT("/"), NONE}, "", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pyaudit_event event =
			event_of(cases[i].event, cases[i].args, cases[i].n_args);
		char whole[PATH_MAX + 2];
		const char *expected = cases[i].real;

		(void)snprintf(whole, sizeof(whole), "=%s", top);
		pyaudit_event_need_real(&event);
		assert_real(&event.real, strcmp(expected, "=") == 0 ? whole : expected,
			    pyaudit_events[cases[i].event].name);
		assert_real(&event.real_target, cases[i].target,
			    pyaudit_events[cases[i].event].name);
	}
}

static void
descriptors_say_where_paths_begin(void **state)
{
	int dir = open("srv", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int file = open("srv/data", O_RDONLY | O_CLOEXEC);
	int pair[2];
	struct pyaudit_value mkdir_args[] = {TEXT("conf/x"), INT(0), INT(dir)};
	struct pyaudit_value rename_args[] = {TEXT("data"), TEXT("conf/x"), INT(dir), INT(-1)};
	struct pyaudit_value truncate_args[] = {INT(file), INT(0)};
	struct pyaudit_event event;

	(void)state;
	assert_true(dir >= 0 && file >= 0);
	event = event_of(PYAUDIT_EV_OS_MKDIR, mkdir_args, 3);
	pyaudit_event_need_real(&event);
	assert_real(&event.real, "/etc/x", "mkdir");
	mkdir_args[0] = (struct pyaudit_value)TEXT("/proc/self/root/x");
	event = event_of(PYAUDIT_EV_OS_MKDIR, mkdir_args, 3);
	pyaudit_event_need_real(&event);
	assert_real(&event.real, "=/x", "an absolute path");

	event = event_of(PYAUDIT_EV_OS_RENAME, rename_args, 4);
	pyaudit_event_need_real(&event);
	assert_real(&event.real, "/srv/data", "rename");
	assert_real(&event.real_target, "/conf/x", "rename");

	event = event_of(PYAUDIT_EV_OS_TRUNCATE, truncate_args, 2);
	pyaudit_event_need_real(&event);
	assert_real(&event.real, "/etc/shadow", "truncate");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	for (int i = 0; i < 3; i++) {
		truncate_args[0].i = i == 0 ? pair[0] : i == 1 ? -1 : 100000;
		event = event_of(PYAUDIT_EV_OS_TRUNCATE, truncate_args, 2);
		pyaudit_event_need_real(&event);
		assert_real(&event.real, "", "no file");
	}
	(void)close(pair[0]);
	(void)close(pair[1]);
	(void)close(dir);
	(void)close(file);
}

/* A working directory without a name of its own, and a path as long as paths may be: no way round a rule. */
static void
depth_hides_nothing(void **state)
{
	char name[251], path[REAL_PATH_MAX];
	size_t n = 0;

	(void)state;
	memset(name, 'd', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(mkdir(name, 0755), 0);
		assert_int_equal(chdir(name), 0);
	}
	assert_null(getcwd(path, sizeof(path)));
	for (unsigned i = 0; i < 20; i++)
		n += (size_t)snprintf(path + n, sizeof(path) - n, "../");
	(void)snprintf(path + n, sizeof(path) - n, "srv/data");
	assert_open(path, "/etc/shadow");
	assert_int_equal(chdir(top), 0);

	n = 0;
	while (n + 32 < sizeof(path))
		n += (size_t)snprintf(path + n, sizeof(path) - n, "srv/../");
	(void)snprintf(path + n, sizeof(path) - n, "srv/data");
	assert_open(path, "/etc/shadow");
}

static void
without_room_there_is_no_value(void **state)
{
	struct pyaudit_value args[] = {TEXT("srv/data"), TEXT("r"), INT(0)};

	(void)state;
	for (uint32_t room = 0; room < strlen(top) + strlen("/etc/shadow") + 3; room++) {
		char *small = malloc(room + 1);
		struct pyaudit_event event = event_of(PYAUDIT_EV_OPEN, args, 3);

		event.scratch = small;
		event.scratch_size = room;
		pyaudit_event_need_real(&event);
		if (event.real.type != 0)
			assert_real(&event.real, "/etc/shadow", "little room");
		free(small);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(spellings_of_one_path_lead_to_one_file),
		TEST(what_is_not_there_is_taken_by_its_text),
		TEST(links_themselves_are_what_some_acts_are_about),
		TEST(descriptors_say_where_paths_begin),
		TEST(depth_hides_nothing),
		TEST(without_room_there_is_no_value),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
