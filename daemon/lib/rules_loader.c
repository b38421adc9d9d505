/* SPDX-License-Identifier: Apache-2.0 */
/* What every reader of rule files uses: mistakes, members of objects, arrays that grow. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "rules_loader.h"

void
loader_mistake_at(struct loader *ld, unsigned line, unsigned column, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	diag_vadd(ld->diag, DIAG_ERROR, ld->file, line, column, format, ap);
	va_end(ap);
	ld->mistakes = true;
}

bool
loader_no_memory(struct loader *ld)
{
	ld->no_memory = true;
	return false;
}

void
loader_check_keys(struct loader *ld, const struct jsonc *object, const char *const *keys)
{
	for (const struct jsonc *m = object->child; m != NULL; m = m->next) {
		struct suggest suggest;
		const char *const *key;
		char hint[128];

		suggest_init(&suggest, m->name, m->name_len);
		for (key = keys; *key != NULL && strcmp(*key, m->name) != 0; key++)
			suggest_try(&suggest, *key);
		if (*key == NULL)
			mistake_name(ld, m, "unknown key '%.64s'%s", m->name,
				     suggest_text(&suggest, hint));
	}
}

const struct jsonc *
loader_get(struct loader *ld, const struct jsonc *object, const char *name, enum jsonc_type type)
{
	const struct jsonc *value = jsonc_get(object, name);

	if (value == NULL || value->type == type)
		return value;
	mistake(ld, value, "'%s' is %s, expected %s", name, jsonc_type_name(value->type),
		jsonc_type_name(type));
	return NULL;
}

const struct jsonc *
loader_need(struct loader *ld, const struct jsonc *object, const char *name, enum jsonc_type type)
{
	if (jsonc_get(object, name) == NULL) {
		mistake(ld, object, "'%s' is missing", name);
		return NULL;
	}
	return loader_get(ld, object, name, type);
}

bool
loader_is_text(const struct jsonc *value, const char *text)
{
	return value->type == JSONC_STRING && strcmp(value->text, text) == 0;
}

void
loader_each_text(struct loader *ld, const struct jsonc *value, const char *name,
	  void (*fn)(struct loader *ld, const struct jsonc *text, void *data), void *data)
{
	if (value->type == JSONC_STRING) {
		fn(ld, value, data);
		return;
	}
	if (value->type != JSONC_ARRAY) {
		mistake(ld, value, "'%s' is %s, expected a text or an array of texts", name,
			jsonc_type_name(value->type));
		return;
	}
	if (value->child == NULL)
		mistake(ld, value, "'%s' is empty", name);
	for (const struct jsonc *item = value->child; item != NULL; item = item->next) {
		if (item->type == JSONC_STRING)
			fn(ld, item, data);
		else
			mistake(ld, item, "expected a text, found %s", jsonc_type_name(item->type));
	}
}

void *
loader_grow(struct loader *ld, void *array_ptr, size_t *n, size_t *size, size_t element)
{
	void **array = array_ptr;
	char *slot;

	if (*n >= *size) {
		size_t new_size = *size > 0 ? *size * 2 : 4;
		void *grown = realloc(*array, new_size * element);

		if (grown == NULL) {
			ld->no_memory = true;
			return NULL;
		}
		*array = grown;
		*size = new_size;
	}
	slot = (char *)*array + *n * element;
	memset(slot, 0, element);
	(*n)++;
	return slot;
}

char *
loader_copy(struct loader *ld, const char *text)
{
	char *copy = strdup(text);

	if (copy == NULL)
		ld->no_memory = true;
	return copy;
}

void
loader_add_text(struct loader *ld, char ***texts, size_t *n, size_t *size, const char *text)
{
	char *copy = loader_copy(ld, text);
	char **slot;

	if (copy == NULL)
		return;
	slot = loader_grow(ld, texts, n, size, sizeof(**texts));
	if (slot == NULL)
		free(copy);
	else
		*slot = copy;
}

/* Small letters, digits, and `extra` behind the first. */
bool
loader_is_name(const char *name, size_t len, const char *first, const char *extra)
{
	if (len == 0 || len > RULES_NAME_LEN_MAX)
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = name[i];

		if ((c >= 'a' && c <= 'z') || (c != '\0' && strchr(first, c) != NULL))
			continue;
		if (i == 0 || c == '\0' || strchr(extra, c) == NULL)
			return false;
	}
	return true;
}

bool
loader_duration(struct loader *ld, const struct jsonc *text, uint64_t *ret_ms)
{
	static const struct {
		const char *unit;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	size_t digits = strspn(text->text, "0123456789");
	uint64_t n;

	for (size_t i = 0; digits > 0 && digits <= 9 && i < sizeof(units) / sizeof(*units); i++) {
		if (strcmp(text->text + digits, units[i].unit) != 0)
			continue;
		n = strtoull(text->text, NULL, 10) * units[i].ms;
		if (n == 0 || n > RULES_DURATION_MAX_MS)
			break;
		*ret_ms = n;
		return true;
	}
	mistake(ld, text, "'%.32s' is not a duration from 1ms to 365d, such as 500ms, 30s, 5m, 2h or 7d",
		text->text);
	return false;
}
