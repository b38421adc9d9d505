/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions as text again, macros and lists written out. */
#ifndef LIB_UNPARSE_H
#define LIB_UNPARSE_H

#include "buf.h"
#include "event.h"
#include "rules.h"

#define UNPARSE_VALUES_SHOWN 6 /* of a longer list; then "... 994 more" */

/* What `pyauditctl rules check` would read as the same condition, unless values are left out. */
void unparse_expr(struct buf *out, const struct expr *expr);
/* The same with every value of every list. */
void unparse_whole(struct buf *out, const struct expr *expr);
/* A field's value as JSON, or "no value" where @has is false. Long texts are cut. */
void unparse_value(struct buf *out, bool has, const struct pyaudit_value *value);

#endif
