/* SPDX-License-Identifier: Apache-2.0 */
#include "feed.h"

#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "clock.h"

struct feed *
feed_new(bool whole)
{
	struct feed *feed = calloc(1, sizeof(*feed));

	if (feed == NULL)
		return NULL;
	feed->is_whole = whole;
	buf_init(&feed->blocks);
	return feed;
}

void
feed_free(struct feed *feed)
{
	if (feed == NULL)
		return;
	buf_fini(&feed->blocks);
	free(feed->processes);
	free(feed);
}

static bool
knows_process(const struct feed *feed, uint32_t key)
{
	return key / 8 < feed->processes_size && (feed->processes[key / 8] >> key % 8 & 1) != 0;
}

/* The process's key, and its block where it has not been told. */
static uint32_t
name_process(struct feed *feed, const struct process *process)
{
	if (process == NULL || process->key == 0 || process->n_hello == 0)
		return 0;
	if (!knows_process(feed, process->key)) {
		capture_add_process(&feed->blocks, process);
		feed->new_key = process->key;
	}
	return process->key;
}

static void
name_policy(struct feed *feed, const struct policy *policy, const struct report *report)
{
	struct compile_options options;
	uint64_t generation = report->decoded->generation;

	for (unsigned i = 0; i < POLICY_KEPT; i++)
		if (feed->told[i] == generation)
			return;
	if (report->rules == NULL || !policy_options(policy, generation, &options))
		return;
	capture_add_policy(&feed->blocks, &options, report->rules);
	feed->new_generation = generation;
}

/* A time that is not come yet counts as now in memories, there and here. */
static void
add_event(struct feed *feed, uint32_t key, const struct report *report, const uint8_t *record,
	  size_t record_size)
{
	uint64_t now_ns = clock_ns(CLOCK_REALTIME);
	bool ahead = report->time_ns > now_ns;

	if (ahead)
		capture_add_clock(&feed->blocks, now_ns);
	capture_add_event(&feed->blocks, key, ahead, record, record_size);
}

void
feed_report(struct feed *feed, const struct policy *policy, const struct report *report,
	    const uint8_t *record, size_t record_size)
{
	uint32_t key;

	buf_reset(&feed->blocks);
	feed->new_key = 0;
	feed->new_generation = 0;
	switch (report->kind) {
	case REPORT_EVENT:
	case REPORT_ALERT:
		if (record == NULL) { /* of the daemon's own making: replaying makes it anew */
			if (report->memory != NULL && feed->is_whole)
				capture_add_fired(&feed->blocks, report->time_ns,
						  report_rule(report)->id);
			return;
		}
		name_policy(feed, policy, report);
		key = name_process(feed, report->process);
		add_event(feed, key, report, record, record_size);
		feed->is_stale = true;
		break;
	case REPORT_LOSS:
		key = report->process != NULL && knows_process(feed, report->process->key)
			      ? report->process->key
			      : 0;
		capture_add_loss(&feed->blocks, key, report->cause, report->lost);
		break;
	case REPORT_PROCESS:
		key = report->process->key;
		if (strcmp(report->event, "process.exit") == 0 && knows_process(feed, key)) {
			capture_add_gone(&feed->blocks, key);
			feed->processes[key / 8] &= (uint8_t)~(1u << key % 8);
		}
		break;
	default:
		break;
	}
}

void
feed_clock(struct feed *feed, uint64_t now_ns, bool waiting)
{
	buf_reset(&feed->blocks);
	feed->new_key = 0;
	feed->new_generation = 0;
	if (!feed->is_stale && !waiting && now_ns >= feed->clock_ns &&
	    now_ns - feed->clock_ns < FEED_QUIET_MS * UINT64_C(1000000))
		return;
	capture_add_clock(&feed->blocks, now_ns);
	feed->clock_ns = now_ns;
	feed->is_stale = false;
}

static void
remember_process(struct feed *feed, uint32_t key)
{
	if (key / 8 >= feed->processes_size) {
		size_t size = 2 * (size_t)(key / 8 + 64);
		uint8_t *grown = realloc(feed->processes, size);

		if (grown == NULL)
			return; /* told again next time */
		memset(grown + feed->processes_size, 0, size - feed->processes_size);
		feed->processes = grown;
		feed->processes_size = size;
	}
	feed->processes[key / 8] |= (uint8_t)(1u << key % 8);
}

void
feed_sent(struct feed *feed)
{
	if (feed->new_key != 0)
		remember_process(feed, feed->new_key);
	if (feed->new_generation != 0)
		feed->told[feed->n_told++ % POLICY_KEPT] = feed->new_generation;
}
