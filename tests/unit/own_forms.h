/* SPDX-License-Identifier: Apache-2.0 */
/* Two forms of credentials that a site may name, for tests of cmocka, whose header comes before this one. */
#ifndef TESTS_UNIT_OWN_FORMS_H
#define TESTS_UNIT_OWN_FORMS_H

#include <stdlib.h>
#include <string.h>

#include "secrets.h"

/* The caller frees it. */
static inline struct pyaudit_forms *
own_forms(void)
{
	static const struct pyaudit_form own[] = {
		{.kind = "acme-token", .prefix = "acme_", .n_prefix = 5, .set = PYAUDIT_FORM_ALNUM, .min = 16},
		{.kind = "hardware", .prefix = "KEY-", .n_prefix = 4, .set = PYAUDIT_FORM_UPPER, .min = 12},
	};
	struct pyaudit_forms *forms = malloc(sizeof(*forms) + sizeof(own));

	assert_non_null(forms);
	forms->n = pyaudit_le32_of(sizeof(own) / sizeof(own[0]));
	memcpy(forms->form, own, sizeof(own));
	return forms;
}

#endif
