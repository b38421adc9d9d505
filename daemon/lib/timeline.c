/* SPDX-License-Identifier: Apache-2.0 */
#include "timeline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define BEGIN_NS UINT64_C(1000000000000000000)

struct played {
	struct memory *memory;
	struct stage *stage;
	struct pyaudit_decoded decoded;
	const struct rule_set *set;
	uint64_t now_ns;
	uint32_t times;
	uint8_t record[PYAUDIT_RECORD_MAX];
};

static void
count(void *data, struct report *report)
{
	struct played *played = data;

	(void)report;
	played->times++;
}

static int64_t
fact_number(const struct stage *stage, unsigned field, int64_t otherwise)
{
	const struct pyaudit_value *v = &stage->facts.fact[field - PYAUDIT_F_PROC_PID];

	return v->type == PYAUDIT_TAG_INT ? v->i : otherwise;
}

/* Processes are told apart by proc.pid, trees by proc.ppid where it is given. */
static void
play(struct played *played, const void *image, const struct rule_test *test)
{
	struct stage *stage = played->stage;
	struct memory_subject subject;
	struct pyaudit_verdict verdict;
	struct memory_hits hits;
	struct report report;
	size_t size;

	stage_set(stage, test);
	stage_judge(image, test->event, &stage->facts, &stage->event, &verdict);
	/* By way of a record, as from an agent: what is kept of an absence is one. */
	size = pyaudit_record_encode(played->record, &stage->event, &verdict, 1, played->now_ns, 1, 1);
	if (pyaudit_record_decode(&played->decoded, played->record, size) < 0)
		return;
	played->decoded.event.scratch = stage->scratch;
	played->decoded.event.scratch_size = sizeof(stage->scratch);
	report = (struct report){
		.kind = REPORT_EVENT,
		.time_ns = played->now_ns,
		.decoded = &played->decoded,
		.rules = played->set,
		.facts = &stage->facts,
	};
	subject.process = (uint64_t)fact_number(stage, PYAUDIT_F_PROC_PID, 1);
	subject.tree = (uint64_t)fact_number(stage, PYAUDIT_F_PROC_PPID, (int64_t)subject.process);
	(void)memory_sort(&played->decoded, played->set, &hits);
	memory_judge(played->memory, &report, &hits, &subject, played->record, size, played->now_ns,
		     count, played);
}

static void
pass(struct played *played, uint64_t ms)
{
	played->now_ns += ms * 1000000u + 1; /* no two events at once */
	memory_sweep(played->memory, played->now_ns, count, played);
}

int
timeline_run(uint32_t *ret_times, struct stage *stage, const void *image,
	     const struct rule_set *set, const struct rule_timeline *timeline)
{
	struct played *played = calloc(1, sizeof(*played));

	if (played == NULL)
		return -ENOMEM;
	played->memory = memory_new();
	if (played->memory == NULL) {
		free(played);
		return -ENOMEM;
	}
	played->stage = stage;
	played->set = set;
	played->now_ns = BEGIN_NS;
	for (size_t i = 0; i < timeline->n_events; i++)
		for (uint32_t k = 0; k < timeline->events[i].times; k++) {
			pass(played, timeline->events[i].after_ms);
			play(played, image, &timeline->events[i]);
		}
	pass(played, timeline->wait_ms);
	*ret_times = played->times;
	memory_free(played->memory);
	free(played);
	return 0;
}
