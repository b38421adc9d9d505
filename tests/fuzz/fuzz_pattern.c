/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns: the input is a pattern, a NUL and a text; a first byte 'g' makes it a glob. Both
 * automata must say the same, and a text that matches must have a literal of those it is looked up
 * by.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
has_literal(const struct pattern_literals *literals, const char *text, size_t len)
{
	for (unsigned i = 0; i < literals->n; i++)
		for (size_t at = 0; at + literals->len[i] <= len; at++) {
			size_t n = 0;

			while (n < literals->len[i] &&
			       (text[at + n] | 0x20) == (literals->text[i][n] | 0x20))
				n++;
			if (n == literals->len[i])
				return true;
		}
	return literals->n == 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *source = (const char *)data + 1, *nul, *text;
	struct pattern_literals literals;
	struct pattern *pattern = NULL;
	struct pattern_error error;
	size_t n_source, n_text;
	struct dfa dfa;
	bool holds;

	if (size < 2)
		return 0;
	nul = memchr(source, '\0', size - 1);
	n_source = nul != NULL ? (size_t)(nul - source) : size - 1;
	text = source + n_source + (nul != NULL);
	n_text = size - 1 - n_source - (nul != NULL);
	if (n_source > 256 || n_text > 256)
		return 0;
	if (pattern_parse(&pattern, data[0] == 'g' ? PATTERN_GLOB : PATTERN_REGEX, source, n_source,
			  &error) != 0) {
		if (error.offset > n_source)
			abort();
		return 0;
	}
	pattern_literals(pattern, &literals);
	if (pattern_dfa(&dfa, pattern) == 0) {
		holds = dfa_match(&dfa, text, n_text);
		if (holds != pattern_holds(pattern, text, n_text))
			abort();
		if (holds && !has_literal(&literals, text, n_text))
			abort();
		dfa_fini(&dfa);
	}
	pattern_free(pattern);
	return 0;
}
