/* SPDX-License-Identifier: Apache-2.0 */
/* What is found by tables and filters, compared with a look at every byte (secrets_plain.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "own_forms.h"
#include "secrets_plain.h"
#include "secrets_table.h"

#define A16 "ABCDEFGH23456789"
#define A20 "abcdefghij0123456789"
#define H32 "0123456789abcdef0123456789abcdef"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Both looks at the text at hand: what they make of it, and of the next. */
static size_t
looks_agree(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, char *out, size_t size)
{
	struct pyaudit_secrets plain = *ctx;
	static char expected[8 * PYAUDIT_TEXT_MAX];
	struct pyaudit_secrets first = *ctx, second = *ctx;
	bool likely = pyaudit_secret_likely(&first, text);
	size_t n = text->len;

	/* From the third time on it may be known. */
	assert_int_equal(pyaudit_secret_likely(&second, text), likely);
	assert_int_equal(pyaudit_secret_likely(ctx, text), likely);
	assert_memory_equal(ctx, &first, sizeof(first));
	plain.own = ctx->own;
	if (likely)
		n = pyaudit_redact(ctx, text, out, size);
	else
		memcpy(out, text->s, n);
	assert_in_range(n, 0, size);
	if (secrets_plain(&plain, text, expected, sizeof(expected)) != n || memcmp(out, expected, n) != 0)
		fail_msg("%.*s: %.*s, not %.*s", (int)text->len, text->s, (int)n, out, (int)n, expected);
	assert_int_equal(ctx->program, plain.program);
	assert_int_equal(ctx->next, plain.next);
	if (ctx->next != 0)
		assert_int_equal(ctx->after, plain.after);
	return n;
}

/* So many bytes of the set, behind the prefix. */
static size_t
make_token(char *out, const struct token *token, unsigned n)
{
	const char *bytes = token->set == SET_HEX ? "0a1b2c3d" : "0A1B2C3D";

	memcpy(out, token->prefix, token->n_prefix);
	for (unsigned i = 0; i < n; i++)
		out[token->n_prefix + i] = bytes[i % 8];
	return token->n_prefix + n;
}

/* As a text of its own, from which something is to be hidden. */
static void
is_found(const char *s)
{
	struct pyaudit_secrets ctx = {0};
	struct pyaudit_value text = pyaudit_value_text(s, strlen(s));
	char out[1024];

	if (memmem(out, looks_agree(&ctx, &text, out, sizeof(out)), "<redacted:", 10) == NULL)
		fail_msg("not found: %s", s);
}

static void
no_token_is_passed_over(void **state)
{
	static const char *const before[] = {"", "/", "a b=", "\\n", "x%3D", "xx", "-"};
	char s[256], out[1024];

	(void)state;
	for (size_t i = 0; i < LENGTH(tokens); i++)
		for (size_t j = 0; j < LENGTH(before); j++)
			for (int more = -1; more <= 1; more++) {
				struct pyaudit_secrets ctx = {0};
				size_t n = strlen(before[j]);
				struct pyaudit_value text;

				memcpy(s, before[j], n);
				n += make_token(s + n, &tokens[i], (unsigned)(tokens[i].min + more));
				s[n] = '\0';
				text = pyaudit_value_text(s, n);
				(void)looks_agree(&ctx, &text, out, sizeof(out));
				if (j < 3 && more == 0)
					is_found(s);
			}
}

static void
no_key_is_passed_over(void **state)
{
	static const struct {
		const char *before, *after;
	} around[] = {{"", "=x1"}, {"", ": 'x1'"}, {"\"", "\": \"x1\""}, {"--my-", " x1"}, {"MY_", "=x1"}};
	char s[512];

	(void)state;
	for (size_t i = 0; i < LENGTH(words); i++)
		for (size_t j = 0; j < LENGTH(around); j++) {
			(void)snprintf(s, sizeof(s), "%s%.*s%s", around[j].before, (int)words[i].n_end,
				       words[i].end, around[j].after);
			is_found(s);
		}
}

static void
no_option_is_passed_over(void **state)
{
	char s[512];

	(void)state;
	for (size_t i = 0; i < LENGTH(options); i++) {
		const struct option *o = &options[i];

		(void)snprintf(s, sizeof(s), "/bin/%.*s -x %.*s%sme%cx1", (int)o->n_program, o->program,
			       (int)o->n_option, o->option, o->glued == 1 ? "" : " ",
			       o->after != 0 ? o->after : '-');
		is_found(s);
	}
}

static size_t
put_part(char *out)
{
	static const char *const parts[] = {
		" ", " ", "/", "/", ".", "-", "--", "=", ":", "://", "@", "\n", "\\n", "%3D", "\\", "%", "'", "\"", "\r",
		",", ";", "|", "&", "(", "]", "{", "<", "\t", "\xc3\xa9", "_", "~", "$", "+", "x", "abc", "K", "eyJ",
		"bearer ", "Bearer ", "-----BEGIN ", "PRIVATE KEY-----", "PASS ", "none", "acme_", "KEY-", A16, A20, H32,
		"/usr/lib/python3/dist-packages/", "https://example.org:8080/"};
	unsigned kind = (unsigned)rand() % 16;
	const char *part = parts[(unsigned)rand() % LENGTH(parts)];
	size_t n;

	if (kind == 0)
		return make_token(out, &tokens[(unsigned)rand() % LENGTH(tokens)], (unsigned)rand() % 50);
	if (kind == 1)
		part = words[(unsigned)rand() % LENGTH(words)].end;
	else if (kind == 2)
		part = options[(unsigned)rand() % LENGTH(options)].program;
	else if (kind == 3)
		part = options[(unsigned)rand() % LENGTH(options)].option;
	n = strlen(part);
	/* A beginning at times, as what stands at a text's end. */
	if (rand() % 8 == 0)
		n = (unsigned)rand() % (n + 1);
	memcpy(out, part, n);
	if (kind == 1 && rand() % 2 == 0 && n > 0)
		out[0] = (char)(out[0] ^ 0x20);
	return n;
}

static void
the_quick_look_finds_what_the_plain_one_does(void **state)
{
	struct pyaudit_forms *forms = own_forms();
	static char out[8 * PYAUDIT_TEXT_MAX];
	unsigned n_redacted = 0;

	(void)state;
	srand(11);
	for (unsigned round = 0; round < 20000; round++) {
		struct pyaudit_secrets ctx = {.code = rand() % 4 == 0, .word = rand() % 2 == 0, .name = rand() % 16 == 0};

		pyaudit_secrets_use(rand() % 4 == 0 ? forms : NULL);
		for (unsigned texts = 1 + (unsigned)rand() % 3; texts > 0; texts--) {
			size_t len = 0, n;
			struct pyaudit_value v;
			char text[600], *exact;

			for (unsigned parts = (unsigned)rand() % 12; parts > 0 && len < 500; parts--)
				len += put_part(text + len);
			exact = malloc(len > 0 ? len : 1); /* whose end a sanitizer sees */
			assert_non_null(exact);
			memcpy(exact, text, len);
			v = pyaudit_value_text(exact, len);
			if (rand() % 16 == 0) {
				v.flags = PYAUDIT_VALUE_CUT;
				v.full_len++;
			}
			n = looks_agree(&ctx, &v, out, sizeof(out));
			n_redacted += memmem(out, n, "<redacted:", 10) != NULL;
			free(exact);
		}
	}
	assert_in_range(n_redacted, 4000, 36000); /* there are enough of both */
	pyaudit_secrets_forget(forms);
	free(forms);
}

static void
what_is_known_is_looked_at_for_own_forms(void **state)
{
	struct pyaudit_value text = pyaudit_value_text("/srv/acme_" A16, 10 + 16);
	struct pyaudit_forms *forms = own_forms();
	struct pyaudit_secrets ctx = {0};
	char out[256];

	(void)state;
	assert_int_equal(looks_agree(&ctx, &text, out, sizeof(out)), text.len);
	pyaudit_secrets_use(forms);
	assert_int_equal(looks_agree(&ctx, &text, out, sizeof(out)), strlen("/srv/<redacted:acme-token>"));
	pyaudit_secrets_forget(forms);
	free(forms);
}

static void
edges_are_the_same(void **state)
{
	static const char *const texts[] = {
		"tool --token ab%'xghp_" A20 A20, /* an escape ends what was found */
		"http://u`x:p@h/", "http://u:p`x@h/", "http://u:p<x@h/",
		"a && curl -", "curl -u a:b`id`", "-", "--", "/-", "x.-", "a/", "//", ".",
		"a;b/mysql -px1", "\xc3\xa9 password=x1", "-pwd", "x pwd=1",
	};

	(void)state;
	for (size_t i = 0; i < LENGTH(texts); i++)
		for (unsigned kind = 0; kind < 4; kind++) {
			struct pyaudit_secrets ctx = {.code = (kind & 1) != 0, .word = (kind & 2) != 0};
			struct pyaudit_value v = pyaudit_value_text(texts[i], strlen(texts[i]));
			char out[256];

			(void)looks_agree(&ctx, &v, out, sizeof(out));
		}
}

/* Three texts that are the same at the end and in the middle. Two of them have no token, but a part of the one
 * and a part of the other are the third, which has. */
#define SAME "/the/same/in/all/of/them/in/the/middle/and/at/the/end/of/them"
static const char *const three[] = {
	"/srv/ab/pypi-" A20 A20 "abc/efghij0123456789" SAME,
	"/srv/ab/xyza-" A20 A20 "abcdefghij0123456789" SAME,
	"/srv/ab/pypi-" A20 A20 "abcdefghij0123456789" SAME,
};

static void *
look_at_three(void *ret_wrong)
{
	for (unsigned i = 0; i < 60000; i++) {
		unsigned which = i / 4 % 3;
		struct pyaudit_value text = pyaudit_value_text(three[which], strlen(three[which]));
		struct pyaudit_secrets ctx = {0};

		if (pyaudit_secret_likely(&ctx, &text) != (which == 2))
			*(bool *)ret_wrong = true;
	}
	return NULL;
}

static void
what_is_known_is_known_byte_for_byte(void **state)
{
	bool wrong[2] = {false, false};
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, look_at_three, &wrong[0]), 0);
	(void)look_at_three(&wrong[1]);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_false(wrong[0] || wrong[1]);
}

int
main(void)
{
	void *room = aligned_alloc(64, (pyaudit_secrets_room(NULL) + 63) / 64 * 64);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_token_is_passed_over),
		cmocka_unit_test(no_key_is_passed_over),
		cmocka_unit_test(no_option_is_passed_over),
		cmocka_unit_test(edges_are_the_same),
		cmocka_unit_test(what_is_known_is_looked_at_for_own_forms),
		cmocka_unit_test(what_is_known_is_known_byte_for_byte),
		cmocka_unit_test(the_quick_look_finds_what_the_plain_one_does),
	};

	if (room == NULL)
		return 1;
	memset(room, 0, pyaudit_secrets_room(NULL));
	(void)pyaudit_secrets_room(room);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
