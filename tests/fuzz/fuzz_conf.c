/* SPDX-License-Identifier: Apache-2.0 */
/* pyauditd.conf: mistakes have a place, and what is accepted can be freed. */
#include <assert.h>

#include "conf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf conf;
	struct diag diag;
	int r;

	if (conf_init(&conf) < 0)
		return 0;
	diag_init(&diag);
	r = conf_parse(&conf, "fuzz.conf", (const char *)data, size, &diag);
	assert(r < 0 || (r == CONF_E_INVALID) == (diag.n_errors > 0));
	for (size_t i = 0; i < diag.n_entries; i++)
		assert(diag.entries[i].line > 0 && diag.entries[i].column > 0);
	diag_fini(&diag);
	conf_fini(&conf);
	return 0;
}
