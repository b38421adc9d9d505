/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "earlier.h"
#include "event.h"
#include "verdict.h"
#include "pyaudit/policy.h"

#define RULES_MAX 8

/* As much of an image as names need. */
struct fake {
	struct pyaudit_image head;
	struct pyaudit_rule rules[RULES_MAX];
	char ids[RULES_MAX][16];
};

static char path[] = "/tmp/pyaudit-earlier.XXXXXX";

static struct fake
image_of(uint64_t generation, const char *words)
{
	struct fake image = {.head = {.generation = pyaudit_le64_of(generation),
				      .rules = pyaudit_le32_of(offsetof(struct fake, rules))}};
	unsigned n = 0;

	for (; *words != '\0'; n++) {
		size_t len = strcspn(words, " ");

		memcpy(image.ids[n], words, len);
		image.rules[n].id = pyaudit_le32_of((uint32_t)(offsetof(struct fake, ids) + n * 16));
		words += len + strspn(words + len, " ");
	}
	image.head.n_rules = pyaudit_le32_of(n);
	return image;
}

static void
write_bytes(const char *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	assert_int_equal(fclose(file), 0);
}

/* What a daemon does at its start, with the file that the one before left. */
static void
start(struct earlier *earlier, uint64_t generation, const char *words, const struct rule_set *rules)
{
	struct fake image = image_of(generation, words);
	struct buf text;

	earlier_read(earlier, path);
	buf_init(&text);
	earlier_text(earlier, &image, &text);
	assert_false(text.failed);
	write_bytes(text.data, text.len);
	buf_fini(&text);
	earlier_note(earlier, &image, rules);
}

static void
check(const struct earlier *earlier, uint64_t generation, unsigned number, unsigned wanted)
{
	static struct pyaudit_decoded decoded;

	decoded.generation = generation;
	decoded.n_hits = 1;
	decoded.hits[0] = (uint16_t)number;
	assert_true(earlier_translate(earlier, &decoded));
	assert_int_equal(decoded.hits[0], wanted);
}

static bool
is_known(const struct earlier *earlier, uint64_t generation)
{
	static struct pyaudit_decoded decoded;

	decoded.generation = generation;
	return earlier_translate(earlier, &decoded);
}

static void
numbers_of_policies_before_are_translated_by_id(void **state)
{
	const struct rule_set *rules = (const void *)&state;
	struct earlier earlier = {0};

	start(&earlier, 100, "one two three", NULL);
	start(&earlier, 200, "zero three one", NULL);
	start(&earlier, 300, "three four one", rules);
	assert_ptr_equal(earlier.rules, rules);
	assert_int_equal(earlier_newest(&earlier), 300);
	check(&earlier, 100, 0, 2);
	check(&earlier, 100, 1, EARLIER_GONE);
	check(&earlier, 100, 2, 0);
	check(&earlier, 100, 3, EARLIER_GONE); /* never was one */
	check(&earlier, 200, 0, EARLIER_GONE);
	check(&earlier, 200, 1, 0);
	check(&earlier, 200, 2, 2);
	check(&earlier, 300, 1, 1);
	assert_false(is_known(&earlier, 400));
	assert_false(is_known(&earlier, 0));
	earlier_fini(&earlier);
}

static void
exceptions_share_the_id_of_their_rule(void **state)
{
	struct earlier earlier = {0};

	(void)state;
	start(&earlier, 100, "a a a b b", NULL);
	start(&earlier, 200, "b a a", NULL);
	check(&earlier, 100, 0, 1);
	check(&earlier, 100, 1, 2);
	check(&earlier, 100, 2, 1);
	check(&earlier, 100, 3, 0);
	check(&earlier, 100, 4, 0);
	earlier_fini(&earlier);
}

static void
the_oldest_is_forgotten(void **state)
{
	struct earlier earlier = {0};

	(void)state;
	for (unsigned i = 1; i <= EARLIER_MAX + 5; i++)
		start(&earlier, i, "a b", NULL);
	assert_int_equal(earlier.n, EARLIER_MAX);
	assert_false(is_known(&earlier, 5));
	assert_true(is_known(&earlier, 6));
	assert_int_equal(earlier_newest(&earlier), EARLIER_MAX + 5);
	earlier_fini(&earlier);
}

static void
what_is_no_such_text_says_nothing(void **state)
{
	static const char *const texts[] = {
		"a\n", "generation\n", "generation 0\na\n", "generation x\na\n", "generation 7", "generation 7 a\n",
		"generation 7\na", "generation 7\n\n", "generation 7\nA\n", "generation 7\na b\n",
		"generation 7\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n",
		"generation 7\na\ngeneration 8\n!\n",
	};
	struct earlier earlier = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		write_bytes(texts[i], strlen(texts[i]));
		earlier_read(&earlier, path);
		assert_int_equal(earlier.n, 0);
	}
	write_bytes("generation 7\na\0b\n", 17);
	earlier_read(&earlier, path);
	assert_int_equal(earlier.n, 0);
	write_bytes("generation 7\ngeneration 8\na\n", 28);
	earlier_read(&earlier, path);
	assert_int_equal(earlier_newest(&earlier), 8);
	assert_int_equal(earlier.policies[0].n, 0);
	assert_int_equal(unlink(path), 0);
	earlier_read(&earlier, path);
	assert_int_equal(earlier.n, 0);
	earlier_fini(&earlier);
}

static int
set_up(void **state)
{
	int fd;

	(void)state;
	memcpy(path + sizeof(path) - 7, "XXXXXX", 6);
	fd = mkstemp(path);
	return fd < 0 ? -1 : close(fd);
}

static int
tear_down(void **state)
{
	(void)state;
	(void)unlink(path);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(numbers_of_policies_before_are_translated_by_id, set_up, tear_down),
		cmocka_unit_test_setup_teardown(exceptions_share_the_id_of_their_rule, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_oldest_is_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_such_text_says_nothing, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
