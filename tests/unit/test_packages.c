/* SPDX-License-Identifier: Apache-2.0 */
/* Packages: which distribution a file belongs to, in directories made for the purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "packages.h"

static char top[64];  /* a directory of the test's own */
static char site[96]; /* site-packages in it */

static void
make_dirs(char *path)
{
	for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		(void)mkdir(path, 0755);
		*slash = '/';
	}
}

static void
put(const char *dir, const char *name, const char *text)
{
	char path[512];
	FILE *file;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	make_dirs(path);
	file = fopen(path, "we");
	assert_non_null(file);
	(void)fputs(text, file);
	(void)fclose(file);
}

static int
set_up(void **state)
{
	(void)state;
	(void)strcpy(top, "/tmp/pyaudit-packages-XXXXXX");
	assert_non_null(mkdtemp(top));
	(void)snprintf(site, sizeof(site), "%s/lib/python3.9/site-packages", top);
	return 0;
}

static int
take_away(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static int
tear_down(void **state)
{
	(void)state;
	return nftw(top, take_away, 16, FTW_DEPTH | FTW_PHYS);
}

/* Names of the owners, joined by blanks, of a file below @dir. */
static void
assert_owner_in(const char *dir, const char *name, const char *expected)
{
	const struct pyaudit_value *names;
	char path[512], found[256] = "";
	unsigned n;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	n = packages_of(path, strlen(path), &names);
	/* In the order of the directory: sorted, where there are two. */
	if (n == 2 && memcmp(names[0].s, names[1].s, 1) > 0) {
		(void)snprintf(found, sizeof(found), "%.*s %.*s", (int)names[1].len, names[1].s,
			       (int)names[0].len, names[0].s);
		n = 0;
	}
	for (unsigned i = 0; i < n; i++)
		(void)snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s%.*s",
			       i > 0 ? " " : "", (int)names[i].len, names[i].s);
	if (strcmp(found, expected) != 0)
		print_error("%s\n", path);
	assert_string_equal(found, expected);
}

static unsigned
count_owners(const char *name)
{
	const struct pyaudit_value *names;
	char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", site, name);
	return packages_of(path, strlen(path), &names);
}

static void
assert_owner(const char *name, const char *expected)
{
	assert_owner_in(site, name, expected);
}

static void
record_says_whose_a_file_is(void **state)
{
	(void)state;
	put(site, "Foo_Bar-1.0.dist-info/RECORD",
	    "../../../bin/foo,sha256=x,1\nfoo/__init__.py,sha256=x,1\r\nfoo/deep/er/x.py,,\n"
	    "\"foo/a,b/x.py\",,\nFoo_Bar-1.0.dist-info/RECORD,,\n./dotted/x.py,,\n");
	put(site, "six-1.16.0.dist-info/RECORD", "six.py,,\n");
	assert_owner("foo/__init__.py", "foo-bar");
	assert_owner("foo/deep/er/x.py", "foo-bar");
	assert_owner("foo/a,b/x.py", "foo-bar");
	assert_owner("dotted/x.py", "foo-bar");
	assert_owner("six.py", "six");
	/* What a package writes into its own directory is its own. */
	assert_owner("foo/deep/er/written/later.py", "foo-bar");
	assert_owner("foo/new.py", "foo-bar");
	/* But the top is nobody's. */
	assert_owner("seven.py", "");
	assert_owner("other/x.py", "");
	/* Other spellings of one path. */
	assert_owner("/foo//deep/./er/x.py", "foo-bar");
	assert_owner("other/../foo/x.py", "foo-bar");
	assert_owner("foo/../other/x.py", "");
}

static void
a_namespace_is_shared(void **state)
{
	(void)state;
	put(site, "google_auth-2.dist-info/RECORD", "google/auth/x.py,,\ngoogle/shared.py,,\n");
	put(site, "google_cloud_core-2.dist-info/RECORD", "google/cloud/x.py,,\ngoogle/other.py,,\n");
	assert_owner("google/auth/x.py", "google-auth");
	assert_owner("google/cloud/x.py", "google-cloud-core");
	assert_owner("google/shared.py", "google-auth");
	assert_owner("google/other.py", "google-cloud-core");
}

static void
what_two_list_belongs_to_both(void **state)
{
	(void)state;
	put(site, "honest-1.dist-info/RECORD", "honest/a.py,,\nhonest/b.py,,\n");
	put(site, "liar-1.dist-info/RECORD", "liar/x.py,,\nhonest/a.py,,\n");
	assert_owner("honest/b.py", "honest");
	assert_owner("liar/x.py", "liar");
	assert_owner("honest/a.py", "honest liar");
	/* Nobody lists it, and two have files beside it. */
	assert_owner("honest/c.py", "honest liar");
}

static void
directories_within_a_package_are_the_packages(void **state)
{
	(void)state;
	put(site, "evil-1.dist-info/RECORD", "evil/site-packages/good.py,,\n");
	put(site, "evil/site-packages/good-1.dist-info/RECORD", "good.py,,\n");
	assert_owner("evil/site-packages/good.py", "evil");
}

static void
debian_has_top_levels_only(void **state)
{
	char dist[128];

	(void)state;
	(void)snprintf(dist, sizeof(dist), "%s/usr/lib/python3/dist-packages", top);
	put(dist, "PyYAML-6.0.dist-info/RECORD", "yaml/__init__.py,,\n");
	put(dist, "six-1.16.0.egg-info/top_level.txt", "six\n");
	put(dist, "Jinja2-3.1.2.egg-info/top_level.txt", "jinja2\n");
	put(dist, "zope.interface-5.egg-info/top_level.txt", "zope\n");
	put(dist, "zope.interface-5.egg-info/namespace_packages.txt", "zope\n");
	put(dist, "zope.event-5.egg-info/top_level.txt", "zope\n");
	put(dist, "zope.event-5.egg-info/namespace_packages.txt", "zope\n");
	put(dist, "zope/interface/x.py", "");
	put(dist, "zope/event/x.py", "");
	put(dist, "Cython-0.29.egg-info", "Name: Cython\n"); /* a file */
	put(dist, "Cython/x.py", "");
	put(dist, "pycups-2.0.1.egg-info", "Name: pycups\n");
	put(dist, "pbr-1.egg-info/installed-files.txt", "../pbr/__init__.py\n../../x.py\nPKG-INFO\n");
	assert_owner_in(dist, "yaml/__init__.py", "pyyaml");
	assert_owner_in(dist, "six.py", "six");
	assert_owner_in(dist, "jinja2/deep/x.py", "jinja2");
	assert_owner_in(dist, "zope/interface/x.py", "zope-interface");
	assert_owner_in(dist, "zope/event/x.py", "zope-event");
	assert_owner_in(dist, "Cython/x.py", "cython");
	assert_owner_in(dist, "pbr/x.py", "pbr");
	assert_owner_in(dist, "x.py", "");
	assert_owner_in(dist, "cups.py", "");
}

static void
source_trees_are_found_by_their_links(void **state)
{
	char tree[128], old[128], text[256], flat[128];

	(void)state;
	(void)snprintf(tree, sizeof(tree), "%s/my work/src", top);
	(void)snprintf(text, sizeof(text),
		       "{\"dir_info\": {\"editable\": true}, \"url\": \"file://%s/my%%20work\"}", top);
	put(site, "my_tool-1.dist-info/direct_url.json", text);
	put(site, "my_tool-1.dist-info/RECORD", "__editable__.my_tool-1.pth,,\n");
	(void)snprintf(text, sizeof(text), "{\"dir_info\": {}, \"url\": \"file://%s/copied\"}", top);
	put(site, "copied-1.dist-info/direct_url.json", text);
	assert_owner_in(tree, "mytool/x.py", ""); /* nobody said where to look */
	packages_know(site, strlen(site));
	assert_owner_in(tree, "mytool/x.py", "my-tool");
	assert_owner_in(top, "copied/x.py", "");
	assert_owner_in(top, "my workshop/x.py", "");

	(void)snprintf(old, sizeof(old), "%s/old", top);
	put(old, "legacy.egg-info/top_level.txt", "legacy\n");
	packages_know(old, strlen(old));
	assert_owner_in(old, "legacy/x.py", "legacy");
	assert_owner_in(old, "setup.py", "");

	(void)snprintf(flat, sizeof(flat), "%s/target/", top);
	put(flat, "flat-1.dist-info/RECORD", "flat/x.py,,\n");
	packages_know(flat, strlen(flat));
	assert_owner_in(flat, "flat/x.py", "flat");
}

static void
an_egg_is_its_package(void **state)
{
	(void)state;
	put(site, "old_egg-1.0-py3.8.egg/EGG-INFO/PKG-INFO", "");
	assert_owner("old_egg-1.0-py3.8.egg/oldegg/x.py", "old-egg");
}

/* As pip does it: the package first, then what says so. */
static void
what_is_installed_later_is_found(void **state)
{
	struct timespec wait = {0, 60 * 1000 * 1000};
	struct timespec then[2] = {{.tv_sec = 1000000}, {.tv_sec = 1000000}};

	(void)state;
	put(site, "first-1.dist-info/RECORD", "first/x.py,,\n");
	assert_int_equal(utimensat(-1, site, then, 0), 0);
	assert_owner("second/x.py", "");
	put(site, "second-1.dist-info/RECORD", "second/x.py,,\n");
	(void)nanosleep(&wait, NULL);
	assert_owner("second/x.py", "second");
	assert_owner("first/x.py", "first");
}

static void
strange_listings_do_no_harm(void **state)
{
	char *large = malloc(200000);

	(void)state;
	assert_non_null(large);
	memset(large, 'x', 199999);
	large[199999] = '\0';
	put(site, "long-1.dist-info/RECORD", large);
	put(site, "-1.dist-info/RECORD", "minus/x.py,,\n");
	put(site, ".dist-info/RECORD", "dot/x.py,,\n");
	put(site, "abs-1.dist-info/RECORD", "/etc/x.py,,\n../../../x.py,,\n\"\n\",\n,,,\n\n.py\n");
	put(site, "top-1.egg-info/top_level.txt", "/etc\n..\n\n.\n");
	put(site, "file.dist-info", "");
	for (unsigned i = 0; i < 12; i++) {
		char name[64];

		(void)snprintf(name, sizeof(name), "many%u-1.dist-info/RECORD", i);
		put(site, name, "many/x.py,,\n");
	}
	memset(large, 0, 200000);
	for (unsigned i = 0, n = 0; i < 9000; i++)
		n += (unsigned)snprintf(large + n, 20, "d%u/x.py,,\n", i);
	put(site, "wide-1.dist-info/RECORD", large);
	free(large);
	assert_owner("d0/x.py", "wide");
	assert_owner("d8999/x.py", "wide");
	assert_owner("minus/x.py", "");
	/* As many as there is room for, in the order of the directory. */
	assert_int_equal(count_owners("many/x.py"), PACKAGES_OWNERS_MAX);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(record_says_whose_a_file_is),
		TEST(a_namespace_is_shared),
		TEST(what_two_list_belongs_to_both),
		TEST(directories_within_a_package_are_the_packages),
		TEST(debian_has_top_levels_only),
		TEST(source_trees_are_found_by_their_links),
		TEST(an_egg_is_its_package),
		TEST(what_is_installed_later_is_found),
		TEST(strange_listings_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
