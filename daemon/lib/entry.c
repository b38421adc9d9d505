/* SPDX-License-Identifier: Apache-2.0 */
#include "entry.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "pyaudit/le.h"

#define PREFIX "PYAUDIT_"

/* Beside those with our prefix. */
static const char *const names[] = {
	"MESSAGE", "MESSAGE_ID", "PRIORITY", "SYSLOG_IDENTIFIER", "OBJECT_PID", "OBJECT_SYSTEMD_UNIT",
};

struct field {
	const char *name, *value;
	size_t name_len, value_len;
};

static bool
is(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(s, word, len) == 0;
}

static bool
name_is_ours(const char *name, size_t len)
{
	size_t prefix = strlen(PREFIX);

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (is(name, len, names[i]))
			return true;
	if (len <= prefix || len > 64 || memcmp(name, PREFIX, prefix) != 0)
		return false;
	for (size_t i = prefix; i < len; i++)
		if (!(name[i] >= 'A' && name[i] <= 'Z') && !(name[i] >= '0' && name[i] <= '9') &&
		    name[i] != '_')
			return false;
	return true;
}

/* The rest of a field without `=`: its length and that many bytes. */
static const char *
sized_value(struct field *field, const char *at, const char *end)
{
	pyaudit_le64 size;
	uint64_t len;

	if ((size_t)(end - at) < sizeof(size))
		return NULL;
	memcpy(&size, at, sizeof(size));
	at += sizeof(size);
	len = pyaudit_get64(size);
	if (len >= (size_t)(end - at) || at[len] != '\n')
		return NULL;
	field->value = at;
	field->value_len = (size_t)len;
	return at + len + 1;
}

/* The field at @at; where the next one is, or NULL: cut off, or no field. */
static const char *
next_field(struct field *field, const char *at, const char *end)
{
	const char *line_end = memchr(at, '\n', (size_t)(end - at));
	const char *equals;

	if (line_end == NULL)
		return NULL;
	field->name = at;
	equals = memchr(at, '=', (size_t)(line_end - at));
	field->name_len = (size_t)((equals != NULL ? equals : line_end) - at);
	if (equals == NULL)
		return sized_value(field, line_end + 1, end);
	field->value = equals + 1;
	field->value_len = (size_t)(line_end - field->value);
	return line_end + 1;
}

const char *
entry_check(const void *bytes, size_t size)
{
	const char *at = bytes, *end = at + size;
	bool is_named = false;
	size_t n = 0;

	if (size > ENTRY_SIZE_MAX)
		return "it is too long";
	while (at < end) {
		struct field field;

		if (n++ == ENTRY_FIELDS_MAX)
			return "it has too many fields";
		at = next_field(&field, at, end);
		if (at == NULL)
			return "it is cut off";
		if (!name_is_ours(field.name, field.name_len))
			return "a field is none of pyauditd's";
		if (field.name_len + 1 + field.value_len > ENTRY_FIELD_SIZE_MAX)
			return "a field is too long";
		if (is(field.name, field.name_len, "SYSLOG_IDENTIFIER")) {
			if (!is(field.value, field.value_len, ENTRY_IDENTIFIER))
				return "it is in the name of another program";
			is_named = true;
		}
	}
	return is_named ? NULL : "it names no program";
}
