/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "generalise.h"

static void
assert_component(const char *text, const char *expected)
{
	struct buf out;
	bool wild;

	buf_init(&out);
	wild = generalise_component(&out, text, strlen(text));
	buf_add_char(&out, '\0');
	assert_string_equal(out.data, expected);
	assert_int_equal(wild, strchr(expected, '*') != NULL && strcmp(expected, "a\\*b") != 0);
	buf_fini(&out);
}

static void
versions_numbers_and_temporary_names_vary(void **state)
{
	(void)state;
	assert_component("python3.11", "python*");
	assert_component("Flask-2.2.2.egg-info", "Flask-*.egg-info");
	assert_component("_speedups.cpython-311-x86_64-linux-gnu.so", "_speedups.cpython-*-x86_64-linux-gnu.so");
	assert_component("libssl.so.3", "libssl.so.*");
	assert_component("tmpab12cd_x", "tmp*");
	assert_component("tmpab12cd_x.txt", "tmp*.txt");
	assert_component("4711", "*");
	assert_component("7", "*");
	assert_component("2026-11-25.log", "*.log");
	assert_component("app-20261125.log", "app-*.log");
	assert_component("x.pyc.140234", "x.pyc.*");
	assert_component("9b1deb4d-3b7d-4bad-9bdd-2b0d7b3dcb6d", "*");
	assert_component("d41d8cd98f00b204", "*");
	assert_component("caf\xff", "*");
}

static void
names_stay_names(void **state)
{
	(void)state;
	assert_component("python3", "python3");
	assert_component("index.html", "index.html");
	assert_component("base64.py", "base64.py");
	assert_component("x86_64-linux-gnu", "x86_64-linux-gnu");
	assert_component("tmp", "tmp");
	assert_component("tmpfiles.d", "tmpfiles.d");
	assert_component("deadbeef", "deadbeef");
	assert_component("a*b", "a\\*b");
	assert_component("", "");
}

static void
assert_command(const char *text, const char *expected)
{
	struct buf out;

	buf_init(&out);
	(void)generalise_command(&out, text, strlen(text));
	buf_add_char(&out, '\0');
	assert_string_equal(out.data, expected);
	buf_fini(&out);
}

static void
commands_vary_in_numbers_alone(void **state)
{
	(void)state;
	assert_command("id", "^id$");
	assert_command("convert -size 10x20 /tmp/tmpab12cd_x a.b",
		       "^convert -size [0-9]+x20 /tmp/tmp[a-z0-9_]{8} a\\.b$");
	assert_command("echo $(id)", "^echo \\$\\(id\\)$");
}

static void
add_paths(struct texts *paths, const char *const *list)
{
	for (; *list != NULL; list++)
		assert_int_equal(texts_add(paths, *list, strlen(*list)), 0);
}

static void
assert_texts(const struct texts *texts, const char *expected)
{
	char joined[1024] = "";

	for (size_t i = 0; i < texts->n; i++)
		(void)snprintf(joined + strlen(joined), sizeof(joined) - strlen(joined), "%s%s",
			       i > 0 ? " " : "", texts->texts[i]);
	assert_string_equal(joined, expected);
}

static void
directories_of_many_entries_are_taken_whole(void **state)
{
	static const char *const list[] = {
		"/srv/shop/static/a", "/srv/shop/static/b", "/srv/shop/static/c", "/srv/shop/static/d",
		"/srv/shop/static/e", "/srv/shop/static/f/g", "/srv/shop/static/h", "/srv/shop/app.py",
		"/usr/lib/python3.11/a.py", "/usr/lib/python3.11/b.py", "/usr/lib/python3.11/c.py",
		"/usr/lib/python3.11/d.py", "/usr/lib/python3.11/e.py", "/usr/lib/python3.11/f.py",
		"/usr/lib/python3.11/g.py", "/etc/hosts", "/etc/hosts", "data/1", "/tmp/3z86zhnt", "/", NULL};
	struct texts paths = {0};
	struct path_patterns patterns;

	(void)state;
	add_paths(&paths, list);
	assert_int_equal(generalise_paths(&patterns, &paths), 0);
	assert_texts(&patterns.exact, "/ /etc/hosts /srv/shop/app.py");
	assert_texts(&patterns.under, "/srv/shop/static");
	assert_texts(&patterns.globs, "/tmp/???????? /usr/lib/python* /usr/lib/python*/** data/*");
	path_patterns_fini(&patterns);
	texts_fini(&paths);
}

static void
shallow_directories_are_never_taken_whole(void **state)
{
	static const char *const list[] = {"/etc/a", "/etc/b", "/etc/c", "/etc/d", "/etc/e", "/etc/f",
					   "/etc/g", "/etc/h", "/home/x/.a", "/home/x/.b", "/home/x/.c",
					   "/home/x/.d", "/home/x/.e", "/home/x/.f", "/home/x/.g", NULL};
	struct texts paths = {0};
	struct path_patterns patterns;

	(void)state;
	add_paths(&paths, list);
	assert_int_equal(generalise_paths(&patterns, &paths), 0);
	assert_int_equal(patterns.exact.n, 15);
	assert_int_equal(patterns.under.n, 0);
	path_patterns_fini(&patterns);
	texts_fini(&paths);
}

static void
hosts_of_one_domain_are_taken_together(void **state)
{
	static const char *const list[] = {"a.cdn.example.org", "b.cdn.example.org", "c.cdn.example.org",
					   "d.cdn.example.org", "e.cdn.example.org", "api.example.org",
					   "127.0.0.1", "127.8.8.8", "10.1.2.3", "localhost", NULL};
	struct texts hosts = {0};
	struct host_patterns patterns;

	(void)state;
	add_paths(&hosts, list);
	assert_int_equal(generalise_hosts(&patterns, &hosts), 0);
	assert_texts(&patterns.exact, "10.1.2.3 api.example.org localhost");
	assert_texts(&patterns.suffixes, ".cdn.example.org");
	assert_texts(&patterns.networks, "127.0.0.0/8");
	host_patterns_fini(&patterns);
	texts_fini(&hosts);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_numbers_and_temporary_names_vary),
		cmocka_unit_test(names_stay_names),
		cmocka_unit_test(commands_vary_in_numbers_alone),
		cmocka_unit_test(directories_of_many_entries_are_taken_whole),
		cmocka_unit_test(shallow_directories_are_never_taken_whole),
		cmocka_unit_test(hosts_of_one_domain_are_taken_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
