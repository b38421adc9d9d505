/* SPDX-License-Identifier: Apache-2.0 */
#include "finding.h"

#include <string.h>
#include <time.h>

#include "server.h"

void
finding_raise(struct server *server, struct process *process, enum pyaudit_event_id id,
	      const char *text)
{
	struct pyaudit_value argument = pyaudit_value_text(text, strlen(text));
	struct pyaudit_event event = {
		.id = (uint16_t)id,
		.layer = PYAUDIT_LAYER_DAEMON,
		.name = pyaudit_events[id].name,
		.name_len = (uint32_t)strlen(pyaudit_events[id].name),
		.args = &argument,
		.n_args = 1,
		.scratch = server->scratch,
		.scratch_size = sizeof(server->scratch),
	};
	struct pyaudit_decoded *decoded = &server->decoded;
	struct report report = {.process = process, .decoded = decoded};
	_Alignas(8) uint8_t record[PYAUDIT_RECORD_MAX];
	struct pyaudit_verdict verdict;
	struct memory_hits hits;
	size_t size;

	policy_judge(&server->policy, &process->facts, &event, &verdict);
	verdict.action = PYAUDIT_ACTION_ALERT; /* at least, and there is nothing to refuse */
	size = pyaudit_record_encode(record, &event, &verdict, server->policy.generation,
				     clock_ns(CLOCK_REALTIME), (uint32_t)process->pid, 0);
	if (pyaudit_record_decode(decoded, record, size) < 0)
		return;
	decoded->event.scratch = server->scratch;
	decoded->event.scratch_size = sizeof(server->scratch);
	report.kind = report_kind_of(decoded);
	report.time_ns = decoded->time_ns;
	report.rules = policy_rules(&server->policy, decoded->generation);
	(void)memory_sort(decoded, report.rules, &hits);
	server_report(server, &report, record, size);
}
