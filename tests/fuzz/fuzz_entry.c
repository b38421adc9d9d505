/* SPDX-License-Identifier: Apache-2.0 */
/* What pyaudit-journal takes: any bytes pass or are refused with a reason, and what passes has nothing but
 * names of ours in it. */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (entry_check(data, size) != NULL)
		return 0;
	assert(size > 0 && data[size - 1] == '\n');
	assert(memchr("MPSO", data[0], 4) != NULL);
	assert(memmem(data, size, "SYSLOG_IDENTIFIER", 17) != NULL);
	return 0;
}
