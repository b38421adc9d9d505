/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What replaces credentials: the parts it finds lie within the text, in order; what it says a text takes is
 * what it writes; and room that is too small is never overrun. The first byte chooses what kind of text it is.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "secrets.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pyaudit_secrets begun = {0}, ctx;
	struct pyaudit_secret secret;
	struct pyaudit_value text;
	size_t whole, room;
	uint32_t at = 0;
	char *out;

	if (size == 0 || size > PYAUDIT_TEXT_MAX)
		return 0;
	begun.code = (data[0] & 1) != 0;
	begun.word = (data[0] & 2) != 0;
	begun.name = (data[0] & 4) != 0;
	text = pyaudit_value_text((const char *)data + 1, size - 1);

	ctx = begun;
	if (pyaudit_secret_likely(&ctx, &text)) {
		while (pyaudit_secret_next(&ctx, &text, at, &secret)) {
			assert(secret.from >= at && secret.from <= secret.to && secret.to <= text.len);
			assert(strlen(pyaudit_secret_kind(&ctx, secret.kind)) <= PYAUDIT_SECRET_KIND_MAX);
			at = secret.to > at ? secret.to : at + 1;
		}
	}
	ctx = begun;
	whole = pyaudit_redact(&ctx, &text, NULL, 0);
	room = (data[0] & 8) != 0 ? whole / 2 : whole;
	out = malloc(room + 1);
	if (out == NULL)
		abort();
	out[room] = '\x7f';
	ctx = begun;
	assert(pyaudit_redact(&ctx, &text, out, room) == whole);
	assert(out[room] == '\x7f');
	free(out);
	return 0;
}
