/* SPDX-License-Identifier: Apache-2.0 */
/* Captures: whatever the bytes, reading ends, and what it gives out can be judged and told. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "replay.h"
#include "report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char rules_text[] =
	"{\"version\":1,\"rules\":[{\"id\":\"no-shell\",\"title\":\"t\",\"on\":[\"@exec\"],"
	"\"when\":[\"exec.shell\",\"proc.script = '-c' or stack.module = 'x'\"],\"action\":\"block\"},"
	"{\"id\":\"own\",\"title\":\"t\",\"on\":[\"custom:shop.order\",\"open\"],"
	"\"when\":[\"arg[0] contains 'a' or file.path under '/etc'\"],\"action\":\"record\"},"
	"{\"id\":\"burst\",\"title\":\"t\",\"on\":[\"@exec\"],\"action\":\"alert\","
	"\"threshold\":{\"count\":2,\"within\":\"10s\",\"in\":\"tree\",\"per\":[\"exec.path\"]}},"
	"{\"id\":\"left\",\"title\":\"t\",\"on\":[\"custom:shop.order\"],\"action\":\"alert\","
	"\"absence\":{\"on\":\"open\",\"within\":\"1s\"}}]}";

struct judge {
	struct replay replay;
	struct buf line;
	uint64_t n_events;
};

static void
tell(struct judge *judge, const struct report *report)
{
	buf_reset(&judge->line);
	report_json(report, &judge->line);
	assert(!judge->line.failed && judge->line.data[judge->line.len - 1] == '\n');
}

static void
take_alert(void *data, struct report *report)
{
	assert(report->memory != NULL && report_rule(report) != NULL);
	tell(data, report);
}

static int
take_clock(void *data, uint64_t time_ns)
{
	struct judge *judge = data;

	replay_clock(&judge->replay, time_ns, take_alert, judge);
	return 0;
}

static int
take_event(void *data, const struct capture_event *event)
{
	struct judge *judge = data;
	struct report report = {
		.decoded = event->decoded,
		.process = event->process,
		.rules = judge->replay.rules,
		.time_ns = event->decoded->time_ns,
		.seq = event->number,
	};
	struct pyaudit_verdict verdict;
	struct memory_hits hits;

	assert(event->number == ++judge->n_events);
	assert(event->facts != NULL);
	if (replay_judge(&judge->replay, event, &verdict) != 0)
		return -1;
	(void)replay_same(&judge->replay, event, &verdict);
	replay_apply(event, &verdict);
	assert(replay_same(&judge->replay, event, &verdict) || event->policy == NULL ||
	       verdict.n_hits > 0);
	report.kind = report_kind_of(event->decoded);
	tell(judge, &report);
	(void)replay_sort(&judge->replay, event, &hits);
	return replay_remember(&judge->replay, event, &report, &hits, take_alert, judge);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct rule_set *rules;
	static struct diag diag;
	struct judge judge = {0};
	struct capture_summary summary;
	char why[CAPTURE_WHY_MAX];
	union {
		const uint8_t *in;
		void *out;
	} bytes = {.in = data};
	FILE *in;
	int r;

	if (rules == NULL)
		assert(rules_parse(&rules, "fuzz", rules_text, strlen(rules_text), &diag) == 0);
	if (size == 0)
		return 0;
	in = fmemopen(bytes.out, size, "r");
	if (in == NULL)
		return 0;
	replay_init(&judge.replay, rules, &diag);
	buf_init(&judge.line);
	r = capture_read(in, &(struct capture_reader){.event = take_event, .clock = take_clock}, &judge, &summary, why);
	assert(r == 0 || (r == CAPTURE_E_INVALID && why[0] != '\0') || r < 0);
	if (r == 0)
		assert(summary.n_events == judge.n_events);
	replay_fini(&judge.replay);
	buf_fini(&judge.line);
	(void)fclose(in);
	return 0;
}
