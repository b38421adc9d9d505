/* SPDX-License-Identifier: Apache-2.0 */
/* What arguments and control group say of a process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "event.h"

static void
assert_script(const char *wanted, const char *const *words)
{
	struct pyaudit_value items[8], argv = {.type = PYAUDIT_TAG_LIST, .items = items}, v;
	char buf[64];

	for (; words[argv.n_items] != NULL; argv.n_items++)
		items[argv.n_items] =
			pyaudit_value_text(words[argv.n_items], strlen(words[argv.n_items]));
	v = pyaudit_script_of(&argv, buf, sizeof(buf));
	assert_int_equal(v.len, strlen(wanted));
	assert_memory_equal(v.s, wanted, v.len);
}

#define SCRIPT(wanted, ...) assert_script(wanted, (const char *const[]){__VA_ARGS__, NULL})

static void
the_script_is_found_behind_options(void **state)
{
	(void)state;
	SCRIPT("app.py", "python3", "app.py", "-c", "x");
	SCRIPT("app.py", "python3", "-I", "-W", "error", "-Xdev", "app.py");
	SCRIPT("-c", "python3", "-Ic", "import os");
	SCRIPT("-c", "python3", "-c", "import os", "app.py");
	SCRIPT("-m http.server", "python3", "-Im", "http.server", "8000");
	SCRIPT("-m pip", "python3", "-mpip", "list");
	SCRIPT("-", "python3");
	SCRIPT("-", "python3", "-", "arg");
	SCRIPT("a.py", "python3", "--check-hash-based-pycs", "always", "a.py");
}

static void
assert_unit(const char *wanted, const char *cgroup)
{
	struct pyaudit_value text = pyaudit_value_text(cgroup, strlen(cgroup));
	struct pyaudit_value v = pyaudit_unit_of(&text);

	assert_int_equal(v.len, strlen(wanted));
	if (v.len > 0)
		assert_memory_equal(v.s, wanted, v.len);
}

static void
the_unit_is_the_innermost_one(void **state)
{
	(void)state;
	assert_unit("gunicorn.service", "/system.slice/gunicorn.service");
	assert_unit("app.service", "/user.slice/user-1000.slice/user@1000.service/app.slice/app.service");
	assert_unit("session-3.scope", "/user.slice/user-1000.slice/session-3.scope");
	assert_unit("web@2.service", "/system.slice/system-web.slice/web@2.service/payload");
	assert_unit("", "/");
	assert_unit("", "/.service");
}

static void
the_container_is_the_long_hexadecimal_id(void **state)
{
	static const char id[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	static const char cgroup[] = "/system.slice/docker-"
				     "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
				     ".scope";
	struct pyaudit_value text = pyaudit_value_text(cgroup, sizeof(cgroup) - 1);
	struct pyaudit_value v = pyaudit_container_of(&text);

	(void)state;
	assert_int_equal(v.len, 64);
	assert_memory_equal(v.s, id, 64);
	text.len -= 20;
	assert_int_equal(pyaudit_container_of(&text).type, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_script_is_found_behind_options),
		cmocka_unit_test(the_unit_is_the_innermost_one),
		cmocka_unit_test(the_container_is_the_long_hexadecimal_id),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
