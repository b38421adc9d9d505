/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replaces credentials: the parts it finds lie within the text, in order; what it says a text takes is
 * what it writes; room that is too small is never overrun; and it all is what the plain look finds. The first byte
 * chooses what kind of texts these are, the second how many forms of the site's own there are; between texts that follow
 * upon each other stands a NUL.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/secrets_plain.h"
#include "secrets.h"

enum {
	CODE = 1,
	WORD = 2,
	NAME = 4,
	SMALL_ROOM = 8,
	CUT = 16,
};

static const struct pyaudit_form own[] = {
	{.kind = "acme-token", .prefix = "acme_", .n_prefix = 5, .set = PYAUDIT_FORM_ALNUM, .min = 16},
	{.kind = "hardware", .prefix = "KEY-", .n_prefix = 4, .set = PYAUDIT_FORM_UPPER, .min = 12},
	{.kind = "dashes", .prefix = "--x", .n_prefix = 3, .set = PYAUDIT_FORM_URL, .min = 13},
	{.kind = "long", .prefix = "ghp_of_the_site", .n_prefix = 15, .set = PYAUDIT_FORM_HEX, .min = 200},
};
#define N_OWN (sizeof(own) / sizeof(own[0]))

static _Alignas(64) char known[4096]; /* texts */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The first @n of our own are in use. */
static void
use_own_forms(uint32_t n)
{
	static struct pyaudit_forms *forms;

	if (forms == NULL) {
		forms = malloc(sizeof(*forms) + sizeof(own));
		if (forms == NULL)
			abort();
		memcpy(forms->form, own, sizeof(own));
	}
	forms->n = pyaudit_le32_of(n);
	pyaudit_secrets_use(n > 0 ? forms : NULL);
}

static void
parts_lie_in_order(struct pyaudit_secrets ctx, const struct pyaudit_value *text)
{
	struct pyaudit_secret secret;
	uint32_t at = 0;

	struct pyaudit_secrets again = ctx;

	if (!pyaudit_secret_likely(&ctx, text)) {
		assert(!pyaudit_secret_likely(&again, text));
		return;
	}
	while (pyaudit_secret_next(&ctx, text, at, &secret)) {
		assert(secret.from >= at && secret.from <= secret.to && secret.to <= text->len);
		assert(strlen(pyaudit_secret_kind(&ctx, secret.kind)) <= PYAUDIT_SECRET_KIND_MAX);
		at = secret.to;
	}
}

/* Carries @ctx on. */
static void
is_what_the_plain_look_finds(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, bool small_room)
{
	struct pyaudit_secrets plain = *ctx, dry;
	size_t whole = text->len, room;
	char *out, *expected;
	bool likely = pyaudit_secret_likely(ctx, text); /* not for the first time: it may be known */

	plain.own = ctx->own;
	if (likely) {
		dry = *ctx;
		whole = pyaudit_redact(&dry, text, NULL, 0);
	}
	room = small_room ? whole / 2 : whole;
	out = malloc(room + 1);
	expected = malloc(room + 1);
	if (out == NULL || expected == NULL)
		abort();
	out[room] = '\x7f';
	if (likely)
		assert(pyaudit_redact(ctx, text, out, room) == whole);
	else
		memcpy(out, text->s, room);
	assert(out[room] == '\x7f');
	assert(secrets_plain(&plain, text, expected, room) == whole);
	assert(memcmp(out, expected, room) == 0);
	assert(ctx->next == plain.next && ctx->program == plain.program && ctx->name == plain.name);
	assert(ctx->next == 0 || ctx->after == plain.after);
	free(out);
	free(expected);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pyaudit_secrets ctx = {0};
	const char *at = (const char *)data + 2, *end = (const char *)data + size;

	if (size < 2 || size > PYAUDIT_TEXT_MAX)
		return 0;
	assert(sizeof(known) >= pyaudit_secrets_room(known));
	ctx.code = (data[0] & CODE) != 0;
	ctx.word = (data[0] & WORD) != 0;
	ctx.name = (data[0] & NAME) != 0;
	use_own_forms(data[1] % (N_OWN + 1));
	for (const char *stop; at <= end; at = stop + 1) {
		struct pyaudit_value text;
		char *copy; /* whose end a sanitizer sees */

		stop = at < end ? memchr(at, '\0', (size_t)(end - at)) : NULL;
		stop = stop != NULL ? stop : end;
		copy = malloc(stop > at ? (size_t)(stop - at) : 1);
		if (copy == NULL)
			abort();
		memcpy(copy, at, (size_t)(stop - at));
		text = pyaudit_value_text(copy, (size_t)(stop - at));
		if ((data[0] & CUT) != 0 && stop == end) {
			text.flags = PYAUDIT_VALUE_CUT;
			text.full_len++;
		}
		parts_lie_in_order(ctx, &text);
		is_what_the_plain_look_finds(&ctx, &text, (data[0] & SMALL_ROOM) != 0);
		free(copy);
	}
	return 0;
}
