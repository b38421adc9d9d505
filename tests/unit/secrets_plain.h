/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The look for credentials as it would be if nobody waited for it: what secrets.c finds by tables and by sixteen bytes
 * at once is compared with what is found here, by unit.secrets and by fuzz_secrets.
 */
#ifndef TESTS_UNIT_SECRETS_PLAIN_H
#define TESTS_UNIT_SECRETS_PLAIN_H

#include "secrets.h"

/* @text with its secrets replaced, as a record has it: into @out at most @size bytes of it; returns how many it takes whole.
 * @ctx is carried on as by pyaudit_secret_likely and pyaudit_redact, but that its own forms are those it has already. */
size_t secrets_plain(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, char *out, size_t size);

#endif
