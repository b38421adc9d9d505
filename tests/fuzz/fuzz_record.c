/* SPDX-License-Identifier: Apache-2.0 */
/* Records: what is decoded becomes one line of valid JSON, and every field can be asked for. */
#include <assert.h>
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
ask_for_all(const struct report *report)
{
	struct pyaudit_value v, values[PYAUDIT_VALUES_MAX];

	for (unsigned field = 0; field < PYAUDIT_N_FIELDS; field++)
		(void)report_field(report, field, &v, values);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct pyaudit_decoded decoded;
	static _Alignas(8) char scratch[PYAUDIT_SCRATCH_SIZE];
	static char id[] = "rule", message[] = "{exec.cmdline} {stack.file} {arg[0]} {net.ip} {proc.pid}";
	static struct rule rule = {.id = id, .message = message};
	static const struct rule_set rules = {.rules = &rule, .n_rules = 1};
	struct report report = {.decoded = &decoded, .rules = &rules};
	struct buf line;
	cJSON *json;

	if (pyaudit_record_decode(&decoded, data, size) < 0)
		return 0;
	decoded.event.scratch = scratch;
	decoded.event.scratch_size = sizeof(scratch);
	report.kind = report_kind_of(&decoded);
	report.time_ns = decoded.time_ns;
	buf_init(&line);
	report_json(&report, &line);
	assert(!line.failed && line.len > 0 && line.data[line.len - 1] == '\n');
	assert(memchr(line.data, '\n', line.len) == line.data + line.len - 1);
	json = cJSON_ParseWithLength(line.data, line.len);
	assert(json != NULL);
	cJSON_Delete(json);
	ask_for_all(&report);
	buf_fini(&line);
	return 0;
}
