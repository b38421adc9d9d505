/* SPDX-License-Identifier: Apache-2.0 */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "symbols.h"

static void
a_library_has_what_dlsym_finds_in_it(void **state)
{
	static const char *const names[] = {"qsort",  "printf",	 "fopen", "environ", "stdout", "malloc",
					    "getenv", "opendir", "fgets", "strtoul", "atexit_of_nobody", ""};
	void *known = dlsym(RTLD_DEFAULT, "gnu_get_libc_version"); /* which no sanitizer stands in for */
	void *library = NULL;
	struct symbols symbols;
	unsigned n_found = 0;
	Dl_info info;

	(void)state;
	assert_int_not_equal(dladdr(known, &info), 0);
	library = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
	assert_non_null(library);
	assert_true(symbols_of(&symbols, known));
	assert_false(symbols.is_program);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		size_t size = 0;
		void *found = symbols_find(&symbols, names[i], &size);

		assert_ptr_equal(found, dlsym(library, names[i]));
		n_found += found != NULL && size > 0;
	}
	assert_int_equal(n_found, 10);
	(void)dlclose(library);
}

static void
a_program_is_told_from_libraries(void **state)
{
	void (*here)(void **) = a_program_is_told_from_libraries;
	struct symbols symbols;
	const void *address;
	size_t size;

	(void)state;
	memcpy(&address, &here, sizeof(address));
	assert_true(symbols_of(&symbols, address));
	assert_true(symbols.is_program);
	assert_null(symbols_find(&symbols, "qsort_of_nobody", &size));
}

static void
what_is_in_no_object_has_no_symbols(void **state)
{
	struct symbols symbols = {0};
	char on_the_stack = 0, *on_the_heap = calloc(1, 16);

	(void)state;
	assert_false(symbols_of(&symbols, &on_the_stack));
	assert_false(symbols_of(&symbols, on_the_heap));
	assert_false(symbols_of(&symbols, NULL));
	free(on_the_heap);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_library_has_what_dlsym_finds_in_it),
		cmocka_unit_test(a_program_is_told_from_libraries),
		cmocka_unit_test(what_is_in_no_object_has_no_symbols),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
