/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "attack.h"

static const struct technique {
	const char *id, *name;
} techniques[] = {
#define ATTACK_TECHNIQUE(id, name) {id, name},
#include "attack.def"
#undef ATTACK_TECHNIQUE
};

static int
compare(const void *id, const void *technique)
{
	return strcmp(id, ((const struct technique *)technique)->id);
}

const char *
attack_name(const char *id)
{
	const struct technique *found =
		bsearch(id, techniques, sizeof(techniques) / sizeof(*techniques),
			sizeof(*techniques), compare);

	return found != NULL ? found->name : NULL;
}
