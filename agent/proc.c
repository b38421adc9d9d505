/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the arguments and the control group of a process say of it: its script, its unit, its
 * container. Agent and daemon read them from the same text in the same way.
 */
#include <ctype.h>
#include <string.h>

#include "event.h"

/* Options of python(1) that take the next argument when theirs is not glued on. -c and -m end the
 * options. Long options are --check-hash-based-pycs VALUE and --help. */
static bool
option_takes_next(const struct pyaudit_value *word)
{
	static const char check[] = "--check-hash-based-pycs";

	if (word->len == sizeof(check) - 1 && memcmp(word->s, check, word->len) == 0)
		return true;
	return word->len >= 2 && word->s[1] != '-' &&
	       (word->s[word->len - 1] == 'W' || word->s[word->len - 1] == 'X');
}

struct pyaudit_value
pyaudit_script_of(const struct pyaudit_value *argv, char *buf, size_t size)
{
	const struct pyaudit_value absent = {0};

	if (argv->type != PYAUDIT_TAG_LIST || argv->n_items == 0)
		return absent;
	for (unsigned i = 1; i < argv->n_items; i++) {
		const struct pyaudit_value *word = &argv->items[i];
		const char *letter = NULL;

		if (!pyaudit_value_is_text(word))
			return absent;
		if (word->len < 2 || word->s[0] != '-')
			return pyaudit_value_text(word->s, word->len);
		if (option_takes_next(word)) {
			i++;
			continue;
		}
		for (uint32_t k = 1; word->s[1] != '-' && k < word->len && letter == NULL; k++) {
			if (word->s[k] == 'W' || word->s[k] == 'X')
				break; /* the rest of the word is its value */
			if (word->s[k] == 'c' || word->s[k] == 'm')
				letter = word->s + k;
		}
		if (letter == NULL)
			continue;
		if (*letter == 'c')
			return pyaudit_value_text("-c", 2);
		{
			const char *name = letter + 1;
			size_t len = (size_t)(word->s + word->len - name);

			if (len == 0 && i + 1 < argv->n_items &&
			    pyaudit_value_is_text(&argv->items[i + 1])) {
				name = argv->items[i + 1].s;
				len = argv->items[i + 1].len;
			}
			if (size < 4)
				return absent;
			if (len > size - 3)
				len = size - 3;
			memcpy(buf, "-m ", 3);
			memcpy(buf + 3, name, len);
			return pyaudit_value_text(buf, len + 3);
		}
	}
	return pyaudit_value_text("-", 1);
}

struct pyaudit_value
pyaudit_unit_of(const struct pyaudit_value *cgroup)
{
	static const char kinds[][9] = {".service", ".scope", ".socket", ".mount", ".swap"};
	struct pyaudit_value unit = {0};
	uint32_t start = 0;

	if (!pyaudit_value_is_text(cgroup))
		return unit;
	/* The innermost component that is a unit: user services lie below user@1000.service. */
	for (uint32_t i = 0; i <= cgroup->len; i++) {
		uint32_t len = i - start;

		if (i < cgroup->len && cgroup->s[i] != '/')
			continue;
		for (unsigned k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
			size_t n = strlen(kinds[k]);

			if (len > n && memcmp(cgroup->s + i - n, kinds[k], n) == 0)
				unit = pyaudit_value_text(cgroup->s + start, len);
		}
		start = i + 1;
	}
	return unit;
}

struct pyaudit_value
pyaudit_container_of(const struct pyaudit_value *cgroup)
{
	struct pyaudit_value id = {0};
	uint32_t run = 0;

	if (!pyaudit_value_is_text(cgroup))
		return id;
	/* docker, podman, containerd and cri-o all put a 64-digit hexadecimal id there. */
	for (uint32_t i = 0; i <= cgroup->len; i++) {
		if (i < cgroup->len && isxdigit((unsigned char)cgroup->s[i])) {
			run++;
			continue;
		}
		if (run == 64)
			id = pyaudit_value_text(cgroup->s + i - run, run);
		run = 0;
	}
	return id;
}
