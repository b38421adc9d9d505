/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "process.h"

static char root[] = "/tmp/test_process.XXXXXX";

static void
put(const char *name, const char *text, size_t size)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", root, name);
	file = fopen(path, "we");
	assert_non_null(file);
	assert_int_equal(fwrite(text, 1, size, file), size);
	(void)fclose(file);
}

static int
make_proc(void **state)
{
	static const char stat[] = "77 (a (b) c) S 5 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 123400 0 0";
	static const char cmdline[] = "python3\0-m\0http.server";
	static const char cgroup[] = "1:name=systemd:/old\n"
				     "0::/system.slice/web.service\n";
	static const char passwd[] = "root:x:0:0::/:/bin/sh\nweb:x:33:33::/:/bin/sh\n";
	char path[256];

	(void)state;
	if (mkdtemp(root) == NULL)
		return -1;
	(void)snprintf(path, sizeof(path), "%s/77", root);
	assert_int_equal(mkdir(path, 0700), 0);
	put("77/stat", stat, sizeof(stat) - 1);
	put("77/cmdline", cmdline, sizeof(cmdline));
	put("77/cgroup", cgroup, sizeof(cgroup) - 1);
	put("77/loginuid", "1000", 4);
	put("passwd", passwd, sizeof(passwd) - 1);
	(void)snprintf(path, sizeof(path), "%s/77/exe", root);
	assert_int_equal(symlink("/usr/bin/python3.11", path), 0);
	return 0;
}

static int
remove_proc(void **state)
{
	char command[300];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -r '%s'", root);
	return system(command);
}

static const struct hello hello = {
	.pid = 1,
	.ppid = 9,
	.python = "3.11.2",
	.exe = "/said/python",
	.cwd = "/said/cwd",
	.cgroup = "/said.scope",
	.venv = "",
	.n_argv = 2,
	.argv = {"python", "said.py"},
};

static void
proc_is_believed_over_the_agent(void **state)
{
	struct users users = {0};
	struct process *p;
	char path[256];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/passwd", root);
	users_load(&users, path);
	p = process_new(&hello, 77, 33, 34, root, &users);
	assert_non_null(p);
	assert_true(p->from_proc);
	assert_int_equal(p->ppid, 5);
	assert_int_equal(p->loginuid, 1000);
	assert_string_equal(p->user, "web");
	assert_string_equal(p->exe, "/usr/bin/python3.11");
	assert_string_equal(p->unit, "web.service");
	assert_string_equal(p->script, "-m http.server");
	assert_int_equal(p->n_argv, 3);
	/* What it does not say is the agent's word. */
	assert_string_equal(p->cwd, "/said/cwd");
	assert_string_equal(p->python, "3.11.2");
	assert_null(p->venv);
	assert_null(p->container);
	assert_int_equal(p->facts.fact[PYAUDIT_F_PROC_GID - PYAUDIT_F_PROC_PID].i, 34);
	assert_int_equal(process_started_ns(root, 77), 1234000000000ull);
	process_unref(p);
	users_fini(&users);
}

static void
a_process_that_is_gone_is_what_it_said(void **state)
{
	struct users users = {0};
	struct process *p = process_new(&hello, 78, 33, 33, root, &users);

	(void)state;
	assert_non_null(p);
	assert_false(p->from_proc);
	assert_int_equal(p->pid, 78); /* but for what the socket knows */
	assert_int_equal(p->ppid, 9);
	assert_null(p->user);
	assert_string_equal(p->exe, "/said/python");
	assert_string_equal(p->script, "said.py");
	assert_string_equal(p->unit, "said.scope");
	assert_int_equal(process_started_ns(root, 78), 0);
	process_unref(p);
}

/* Whose parent /proc does not say: it is ending, or the parent is in a namespace above. */
static void
a_process_without_parent_has_the_one_it_said(void **state)
{
	static const char stat[] = "79 (x) X 0 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 123400 0 0";
	struct hello own = hello;
	struct users users = {0};
	struct process *p;
	char path[256];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/79", root);
	assert_int_equal(mkdir(path, 0700), 0);
	put("79/stat", stat, sizeof(stat) - 1);
	own.pid = 79;
	p = process_new(&own, 79, 33, 33, root, &users);
	assert_int_equal(p->ppid, 9);
	process_unref(p);
	/* Numbers of another namespace mean nothing here. */
	own.pid = 1;
	p = process_new(&own, 79, 33, 33, root, &users);
	assert_int_equal(p->ppid, 0);
	process_unref(p);
}

static void
members_are_valid_json(void **state)
{
	struct hello odd = hello;
	struct users users = {0};
	struct process *p;
	char text[8192];
	cJSON *json;

	(void)state;
	odd.argv[1] = "\xff\"\n";
	p = process_new(&odd, 78, 33, 33, NULL, &users);
	assert_non_null(p);
	(void)snprintf(text, sizeof(text), "{%.*s}", (int)p->json.len, p->json.data);
	json = cJSON_Parse(text);
	assert_non_null(json);
	assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "argv"), 1)->valuestring,
			    "\xef\xbf\xbd\"\n");
	assert_true(cJSON_IsNull(cJSON_GetObjectItem(json, "user")));
	cJSON_Delete(json);
	process_unref(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proc_is_believed_over_the_agent),
		cmocka_unit_test(a_process_that_is_gone_is_what_it_said),
		cmocka_unit_test(a_process_without_parent_has_the_one_it_said),
		cmocka_unit_test(members_are_valid_json),
	};

	return cmocka_run_group_tests(tests, make_proc, remove_proc);
}
