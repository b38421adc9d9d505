/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Forms of credentials of the site's own: a beginning and a set of characters, which is what the forms that are
 * known anyway are made of. Patterns would be more than that, and their time more than a look at each word; and
 * what a careless one hides nobody would see.
 */
#include <stdlib.h>
#include <string.h>

#include "rules_loader.h"
#include "secrets.h"

static bool
is_prefix(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((s[i] < 'a' || s[i] > 'z') && (s[i] < 'A' || s[i] > 'Z') && (s[i] < '0' || s[i] > '9') &&
		    s[i] != '_' && s[i] != '-')
			return false;
	return true;
}

static bool
read_kind(struct loader *ld, const struct jsonc *object, struct pyaudit_form *ret)
{
	const struct jsonc *kind = loader_need(ld, object, "kind", JSONC_STRING);

	if (kind == NULL)
		return false;
	if (kind->len == 0 || kind->len > PYAUDIT_FORM_KIND_MAX || kind->text[0] < 'a' || kind->text[0] > 'z' ||
	    strspn(kind->text, "abcdefghijklmnopqrstuvwxyz0123456789-") != kind->len) {
		mistake(ld, kind, "a kind is 1 to %d small letters, digits and '-', a letter first",
			PYAUDIT_FORM_KIND_MAX);
		return false;
	}
	memcpy(ret->kind, kind->text, kind->len);
	return true;
}

static bool
read_prefix(struct loader *ld, const struct jsonc *object, struct pyaudit_form *ret)
{
	const struct jsonc *prefix = loader_need(ld, object, "prefix", JSONC_STRING);

	if (prefix == NULL)
		return false;
	if (prefix->len < PYAUDIT_FORM_PREFIX_MIN || prefix->len > PYAUDIT_FORM_PREFIX_MAX ||
	    !is_prefix(prefix->text, prefix->len)) {
		mistake(ld, prefix, "a prefix is %d to %d letters, digits, '_' and '-'", PYAUDIT_FORM_PREFIX_MIN,
			PYAUDIT_FORM_PREFIX_MAX);
		return false;
	}
	memcpy(ret->prefix, prefix->text, prefix->len);
	ret->n_prefix = (uint8_t)prefix->len;
	return true;
}

static bool
read_set(struct loader *ld, const struct jsonc *object, struct pyaudit_form *ret)
{
	const struct jsonc *of = loader_get(ld, object, "of", JSONC_STRING);
	struct suggest suggest;
	char hint[128];

	ret->set = PYAUDIT_FORM_ALNUM;
	if (of == NULL)
		return jsonc_get(object, "of") == NULL;
	suggest_init(&suggest, of->text, of->len);
	for (unsigned set = 0; pyaudit_form_set_name(set) != NULL; set++) {
		ret->set = (uint8_t)set;
		if (loader_is_text(of, pyaudit_form_set_name(set)))
			return true;
		suggest_try(&suggest, pyaudit_form_set_name(set));
	}
	mistake(ld, of, "unknown set of characters '%.64s'%s: it is upper, hex, alnum, word or url", of->text,
		suggest_text(&suggest, hint));
	return false;
}

static bool
read_min(struct loader *ld, const struct jsonc *object, struct pyaudit_form *ret)
{
	const struct jsonc *min = loader_need(ld, object, "min", JSONC_NUMBER);

	if (min == NULL)
		return false;
	if (!min->is_int || min->integer < 1 || min->integer > UINT8_MAX) {
		mistake(ld, min, "'min' is a number of characters behind the prefix, 1 to %d", UINT8_MAX);
		return false;
	}
	ret->min = (uint8_t)min->integer;
	if (ret->n_prefix != 0 && ret->n_prefix + min->integer < PYAUDIT_FORM_WHOLE_MIN) {
		mistake(ld, min, "with its prefix the shortest is %d characters, and ordinary words would be taken for one: "
			"at least %d", (int)(ret->n_prefix + min->integer), PYAUDIT_FORM_WHOLE_MIN);
		return false;
	}
	return true;
}

void
loader_read_form(struct loader *ld, const struct jsonc *object)
{
	static const char *const keys[] = {"kind", "prefix", "of", "min", NULL};
	struct pyaudit_form form = {.min = 0};
	struct pyaudit_forms *forms = ld->set->forms;
	uint32_t n = forms != NULL ? pyaudit_get32(forms->n) : 0;
	bool good = true;

	if (object->type != JSONC_OBJECT) {
		mistake(ld, object, "a form is an object with kind, prefix, of and min");
		return;
	}
	loader_check_keys(ld, object, keys);
	good = read_kind(ld, object, &form) && good;
	good = read_prefix(ld, object, &form) && good;
	good = read_set(ld, object, &form) && good;
	good = read_min(ld, object, &form) && good;
	if (!good)
		return;
	if (n == PYAUDIT_FORMS_MAX) {
		mistake(ld, object, "more than %d forms of credentials", PYAUDIT_FORMS_MAX);
		return;
	}
	if (forms == NULL) {
		forms = calloc(1, sizeof(*forms) + PYAUDIT_FORMS_MAX * sizeof(forms->form[0]));
		ld->set->forms = forms;
	}
	if (forms == NULL) {
		(void)loader_no_memory(ld);
		return;
	}
	forms->form[n] = form;
	forms->n = pyaudit_le32_of(n + 1);
}
