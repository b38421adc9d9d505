/* SPDX-License-Identifier: Apache-2.0 */
/* Requests on the control socket, with their filters. */
#include <assert.h>
#include <string.h>

#include "request.h"
#include "rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char error[REQUEST_ERROR_MAX];
	struct request request;
	struct expr *filter = NULL;
	struct diag diag;

	if (request_parse(&request, (const char *)data, size, error) < 0) {
		assert(memchr(error, 0, sizeof(error)) != NULL && error[0] != 0);
		return 0;
	}
	if (request.filter != NULL) {
		diag_init(&diag);
		if (rules_parse_filter(&filter, request.filter, &diag) == 0)
			expr_free(filter);
		diag_fini(&diag);
	}
	request_fini(&request);
	return 0;
}
