/* SPDX-License-Identifier: Apache-2.0 */
/* Texts within a value: found at every place, by whatever vectors the processor has, and read no further
 * than the value goes (each stands in memory of its own size, which the sanitizers guard). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "compile.h"
#include "grams.h"
#include "rules.h"
#include "vectors.h"
#include "verdict.h"

#define TEXT_MAX 110
#define LITERALS_MAX 600

struct literals {
	char text[LITERALS_MAX][24];
	unsigned n;
};

static struct image
build(const struct literals *literals)
{
	static const struct compile_options options = {.generation = 1};
	char *rules = malloc(LITERALS_MAX * 200);
	struct rule_set *set = NULL;
	struct image image = {NULL, 0};
	struct diag diag;
	size_t n = 0;

	assert_non_null(rules);
	n += (size_t)sprintf(rules, "{\"version\": 1, \"rules\": [");
	for (unsigned i = 0; i < literals->n; i++)
		n += (size_t)sprintf(rules + n,
				     "%s{\"id\": \"r%u\", \"title\": \"t\", \"on\": [\"open\"], \"action\": \"alert\", "
				     "\"when\": [\"file.path contains '%s'\"]}",
				     i > 0 ? ", " : "", i, literals->text[i]);
	(void)sprintf(rules + n, "]}");
	diag_init(&diag);
	if (rules_parse(&set, "test", rules, strlen(rules), &diag) != 0 ||
	    compile_rules(&image, set, &options, &diag) != 0)
		diag_print(&diag, stderr);
	diag_fini(&diag);
	assert_non_null(image.bytes);
	rules_free(set);
	free(rules);
	return image;
}

static void
judge(const struct image *image, const char *s, size_t len, struct pyaudit_verdict *ret)
{
	struct pyaudit_value arg = pyaudit_value_text(s, len);
	struct pyaudit_event event = {
		.id = PYAUDIT_EV_OPEN, .name = "open", .name_len = 4, .args = &arg, .n_args = 1};

	pyaudit_judge(image->bytes, pyaudit_image_slot(image->bytes, "open"), NULL, &event, ret);
}

static const void *
at(const struct image *image, pyaudit_le32 offset)
{
	return (const uint8_t *)image->bytes + pyaudit_get32(offset);
}

/* The table of grams of @width bytes for file.path. */
static const struct pyaudit_grams *
table_of(const struct image *image, unsigned width)
{
	const struct pyaudit_slot *slot = pyaudit_image_slot(image->bytes, "open");
	const struct pyaudit_program *program = at(image, slot->program);
	const struct pyaudit_index *index = at(image, program->indexes);
	unsigned i = width == 4 ? 0 : width == 2 ? 1 : 2;

	assert_int_equal(pyaudit_get32(program->n_indexes), 1);
	assert_true((index->parts & PYAUDIT_INDEX_GRAMS << i) != 0);
	return at(image, index->grams[i]);
}

static void
check_place(const struct image *image, const struct literals *literals, unsigned i, size_t len, size_t pos)
{
	size_t n = strlen(literals->text[i]), there = len - pos < n ? len - pos : n;
	char *s = malloc(len + 1);
	struct pyaudit_verdict verdict;

	assert_non_null(s);
	for (size_t k = 0; k < len; k++)
		s[k + 1] = "#%+="[k % 4];
	memcpy(s + 1 + pos, literals->text[i], there);
	judge(image, s + 1, len, &verdict); /* ends where the memory does, and is not aligned */
	if (verdict.n_hits != (there == n) || (there == n && verdict.hits[0] != i))
		fail_msg("'%s' in %zu bytes at %zu: %u rules", literals->text[i], len, pos, verdict.n_hits);
	free(s);
}

/* Each literal in texts of each length, whole and cut at the end, by each kind of vectors. */
static void
check_places(const struct image *image, const struct literals *literals, unsigned step)
{
	for (unsigned vectors = PYAUDIT_VECTORS_NONE; vectors <= PYAUDIT_VECTORS_64; vectors++) {
		pyaudit_vectors_limit((enum pyaudit_vectors)vectors);
		for (unsigned i = 0; i < literals->n; i += step)
			for (size_t len = 1; len <= TEXT_MAX; len += len < 50 ? 1 : 7)
				for (size_t pos = 0; pos < len; pos++)
					check_place(image, literals, i, len, pos);
	}
	pyaudit_vectors_limit(PYAUDIT_VECTORS_UNKNOWN);
}

static void
few_texts_are_found_at_every_place(void **state)
{
	static const struct literals literals = {
		{"/.ssh/", "credential", "..", "@@", ":", "abc\xc3\xa9", "\xc3\xbf"}, 7};
	struct image image = build(&literals);

	(void)state;
	for (unsigned width = 1; width <= 4; width *= 2)
		assert_int_not_equal(pyaudit_get32(table_of(&image, width)->masks), 0);
	check_places(&image, &literals, 1);
	image_fini(&image);
}

static void
many_texts_that_are_alike_are_found_at_every_place(void **state)
{
	static struct literals literals;
	struct image image;

	(void)state;
	literals.n = 500;
	for (unsigned i = 0; i < literals.n; i++)
		(void)sprintf(literals.text[i], "/.config/%s%u/", i % 2 ? "tool" : "Other", 100 + i);
	image = build(&literals);
	assert_int_not_equal(pyaudit_get32(table_of(&image, 4)->masks), 0);
	check_places(&image, &literals, 83);
	image_fini(&image);
}

/* What masks would let pass at every other place is looked up without them. */
static void
many_texts_that_differ_are_found_at_every_place(void **state)
{
	static struct literals literals;
	struct image image;
	uint32_t random = 1;

	(void)state;
	literals.n = LITERALS_MAX;
	for (unsigned i = 0; i < literals.n; i++)
		for (unsigned k = 0; k < 12; k++) {
			random = random * 1103515245u + 12345u;
			literals.text[i][k] = (char)('a' + (random >> 16) % 26);
		}
	image = build(&literals);
	assert_int_equal(pyaudit_get32(table_of(&image, 4)->masks), 0);
	assert_int_equal(table_of(&image, 4)->stride, 4);
	check_places(&image, &literals, 97);
	image_fini(&image);
}

/* The rarest part of a text is what it is looked up by: a path full of what many rules have in common is
 * compared with none of them. */
static void
texts_are_looked_up_by_what_others_have_not(void **state)
{
	static struct literals literals;
	const struct pyaudit_grams *grams;
	const struct pyaudit_gram *table;
	struct image image;

	(void)state;
	literals.n = 300;
	for (unsigned i = 0; i < literals.n; i++)
		(void)sprintf(literals.text[i], "/.config/tool%u/", 100 + i);
	image = build(&literals);
	grams = table_of(&image, 4);
	table = at(&image, grams->table);
	for (unsigned i = 0; i < 1u << grams->table_bits; i++)
		assert_true(pyaudit_get32(table[i].n) <= 2);
	image_fini(&image);
}

/* One look at @len bytes in memory of that size, which have @what at @pos. */
static bool
looks_empty(const struct image *image, size_t len, const char *what, size_t pos)
{
	char *s = malloc(len);
	bool ret;

	assert_non_null(s);
	for (size_t k = 0; k < len; k++)
		s[k] = "#/%a"[k % 4];
	memcpy(s + pos, what, strlen(what));
	ret = pyaudit_grams_none_in_path(image->bytes, table_of(image, 4), s, len);
	free(s);
	return ret;
}

/* One look at a path says that there is nothing, and never where there is something. */
static void
check_one_look(const struct image *image, size_t len)
{
	static const char *const there[] = {"/.ssh/", "/.SSH/", "credential", "abc\xc3\xa9", "//", "/."};

	for (size_t i = 0; i < sizeof(there) / sizeof(there[0]); i++)
		for (size_t pos = 0; pos + strlen(there[i]) <= len; pos++)
			assert_false(looks_empty(image, len, there[i], pos));
}

/* Whichever bytes of a gram the compiler has chosen to ask for. */
static void
check_bytes_asked(struct image *image)
{
	uint8_t *bytes = image->bytes;
	struct pyaudit_grams *grams = (void *)(bytes + ((const uint8_t *)table_of(image, 4) - bytes));

	for (unsigned first = 0; first < 4; first++)
		for (unsigned n = 1; first + n <= 4; n++) {
			grams->first_mask = (uint8_t)first;
			grams->n_masks = (uint8_t)n;
			check_one_look(image, TEXT_MAX);
			if (n >= 3 && pyaudit_vectors() >= PYAUDIT_VECTORS_32)
				assert_true(looks_empty(image, TEXT_MAX, "", 0));
		}
}

static void
one_look_at_a_path_misses_nothing(void **state)
{
	static const struct literals sets[] = {
		{{"/.ssh/", "credential", "abc\xc3\xa9"}, 3}, {{"credential", "abc\xc3\xa9", "/.ssh/", "0000", "eeee"}, 5}};
	static const size_t shortest[] = {
		[PYAUDIT_VECTORS_NONE] = SIZE_MAX,
		[PYAUDIT_VECTORS_16] = SIZE_MAX,
		[PYAUDIT_VECTORS_32] = PYAUDIT_ONE_LOOK_32,
		[PYAUDIT_VECTORS_64] = 4,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++) {
		struct image image = build(&sets[i]);

		for (unsigned vectors = PYAUDIT_VECTORS_NONE; vectors <= PYAUDIT_VECTORS_64; vectors++) {
			pyaudit_vectors_limit((enum pyaudit_vectors)vectors);
			for (size_t len = 1; len <= 2 * TEXT_MAX; len++) {
				assert_int_equal(looks_empty(&image, len, "", 0), len >= shortest[pyaudit_vectors()]);
				check_one_look(&image, len);
			}
			pyaudit_vectors_limit(PYAUDIT_VECTORS_UNKNOWN);
		}
		pyaudit_vectors_limit(PYAUDIT_VECTORS_32);
		check_bytes_asked(&image);
		pyaudit_vectors_limit(PYAUDIT_VECTORS_UNKNOWN);
		image_fini(&image);
	}
}

/* Where a byte is not ASCII no vectors of 32 are asked; those of 64 are. */
static void
one_look_answers_for_ascii(void **state)
{
	static const struct literals literals = {{"/.ssh/", "credential"}, 2};
	struct image image = build(&literals);

	(void)state;
	for (size_t pos = 0; pos + 2 <= TEXT_MAX; pos++) {
		pyaudit_vectors_limit(PYAUDIT_VECTORS_32);
		assert_false(looks_empty(&image, TEXT_MAX, "\xc3\xa9", pos));
		pyaudit_vectors_limit(PYAUDIT_VECTORS_UNKNOWN);
		if (pyaudit_vectors() == PYAUDIT_VECTORS_64)
			assert_true(looks_empty(&image, TEXT_MAX, "\xc3\xa9", pos));
	}
	image_fini(&image);
}

static void
less_than_the_processor_has_is_used_where_told(void **state)
{
	(void)state;
	pyaudit_vectors_limit(PYAUDIT_VECTORS_NONE);
	assert_int_equal(pyaudit_vectors(), PYAUDIT_VECTORS_NONE);
	pyaudit_vectors_limit(PYAUDIT_VECTORS_UNKNOWN);
	assert_int_not_equal(pyaudit_vectors(), PYAUDIT_VECTORS_UNKNOWN);
#ifdef __x86_64__
	assert_int_equal(pyaudit_vectors() == PYAUDIT_VECTORS_64,
			 __builtin_cpu_supports("avx512vbmi") != 0 && __builtin_cpu_supports("gfni") != 0);
	assert_int_equal(pyaudit_vectors() >= PYAUDIT_VECTORS_32, __builtin_cpu_supports("avx2") != 0);
	assert_int_equal(pyaudit_vectors() == PYAUDIT_VECTORS_NONE, __builtin_cpu_supports("ssse3") == 0);
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_texts_are_found_at_every_place),
		cmocka_unit_test(many_texts_that_are_alike_are_found_at_every_place),
		cmocka_unit_test(many_texts_that_differ_are_found_at_every_place),
		cmocka_unit_test(texts_are_looked_up_by_what_others_have_not),
		cmocka_unit_test(one_look_at_a_path_misses_nothing),
		cmocka_unit_test(one_look_answers_for_ascii),
		cmocka_unit_test(less_than_the_processor_has_is_used_where_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
