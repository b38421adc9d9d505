/* SPDX-License-Identifier: Apache-2.0 */
#include "replay.h"

#include <errno.h>
#include <string.h>

void
replay_init(struct replay *replay, const struct rule_set *rules, struct diag *diag)
{
	memset(replay, 0, sizeof(*replay));
	replay->rules = rules;
	replay->diag = diag;
}

void
replay_fini(struct replay *replay)
{
	for (unsigned i = 0; i < replay->n_images; i++)
		image_fini(&replay->images[i].image);
	replay->n_images = 0;
	replay_forget(replay);
}

void
replay_forget(struct replay *replay)
{
	memory_free(replay->memory);
	replay->memory = NULL;
	replay->now_ns = 0;
	replay->n_firsts = 0;
}

static bool
same_options(const struct compile_options *a, const struct compile_options *b)
{
	return a->observe == b->observe && a->record == b->record &&
	       a->record_all == b->record_all;
}

/* The image of the rules with the settings that were in force. */
static int
image_for(struct replay *replay, const struct capture_policy *policy, const void **ret)
{
	struct compile_options options = {0};
	struct image image = {0};
	unsigned at;
	int r;

	if (policy != NULL)
		options = policy->options;
	options.generation = 1;
	options.tells_exceptions = true;
	options.observe |= replay->observe;
	for (unsigned i = 0; i < replay->n_images; i++)
		if (same_options(&replay->images[i].options, &options)) {
			*ret = replay->images[i].image.bytes;
			return 0;
		}
	r = compile_rules(&image, replay->rules, &options, replay->diag);
	if (r != 0)
		return r;
	at = replay->n_made++ % REPLAY_IMAGES_MAX;
	if (at < replay->n_images)
		image_fini(&replay->images[at].image);
	else
		replay->n_images++;
	replay->images[at].options = options;
	replay->images[at].image = image;
	replay->bound_image = NULL;
	replay->n_firsts = 0; /* their image may be gone */
	*ret = image.bytes;
	return 0;
}

static void
keep_first(struct replay *replay, const struct pyaudit_decoded *d, const void *image, const struct pyaudit_verdict *verdict)
{
	replay->firsts[replay->n_firsts++ % REPLAY_FIRSTS_MAX] = (struct replay_first){
		.pid = d->pid, .tid = d->tid, .event = d->event.id, .image = image, .verdict = *verdict};
}

/* The first event of the act whose second one this is: the newest of its thread or, of pty.spawn, of its parent. */
static const struct replay_first *
first_of(const struct replay *replay, const struct capture_event *captured)
{
	const struct pyaudit_decoded *d = captured->decoded;
	const struct pyaudit_value *parent = &captured->facts->fact[PYAUDIT_F_PROC_PPID - PYAUDIT_F_PROC_PID];
	unsigned n = replay->n_firsts < REPLAY_FIRSTS_MAX ? replay->n_firsts : REPLAY_FIRSTS_MAX;

	for (unsigned i = 1; i <= n; i++) {
		const struct replay_first *first = &replay->firsts[(replay->n_firsts - i) % REPLAY_FIRSTS_MAX];

		if (pyaudit_is_second_of_two(first->event, d->event.id) &&
		    (first->event == PYAUDIT_EV_PTY_SPAWN ? parent->type == PYAUDIT_TAG_INT && parent->i == first->pid
							  : first->tid == d->tid))
			return first;
	}
	return NULL;
}

/* As the agent does: what rules say of an act is told, and counted, with its first event. */
static void
tell_once(struct replay *replay, const struct capture_event *captured, const void *image,
	  const struct pyaudit_slot *slot, struct pyaudit_verdict *verdict)
{
	const struct pyaudit_event *event = &captured->decoded->event;
	const struct replay_first *first;

	if (event->layer != PYAUDIT_LAYER_AUDIT)
		return;
	if (pyaudit_is_first_of_two(event->id))
		keep_first(replay, captured->decoded, image, verdict);
	first = event->announced ? first_of(replay, captured) : NULL;
	if (first != NULL && first->image == image)
		(void)pyaudit_verdict_tell_once(image, slot, verdict, &first->verdict);
}

/* The daemon's own findings are alerts whatever the rules say. */
static bool
is_finding(const struct pyaudit_event *event)
{
	return event->id == PYAUDIT_EV_HOOK_REMOVED || event->id == PYAUDIT_EV_HOOK_REFUSED;
}

int
replay_judge(struct replay *replay, const struct capture_event *captured,
	     struct pyaudit_verdict *ret)
{
	struct pyaudit_event *event = &captured->decoded->event;
	char name[PYAUDIT_RECORD_MAX + 1];
	const struct pyaudit_slot *slot;
	const void *image;
	int r = image_for(replay, captured->policy, &image);

	if (r != 0)
		return r;
	memcpy(name, event->name, event->name_len);
	name[event->name_len] = '\0';
	slot = pyaudit_image_slot(image, name);
	*ret = (struct pyaudit_verdict){0};
	if ((slot->flags & PYAUDIT_SLOT_JUDGE) != 0) {
		if (replay->bound_image != image || replay->bound_facts != captured->facts ||
		    replay->bound_process != captured->process_number) {
			pyaudit_image_bind(image, captured->facts, &replay->bits);
			replay->bound_image = image;
			replay->bound_facts = captured->facts;
			replay->bound_process = captured->process_number;
		}
		event->scratch_len = 0;
		pyaudit_judge(image, slot, &replay->bits, event, ret);
	} else {
		ret->action = pyaudit_slot_action(slot);
	}
	tell_once(replay, captured, image, slot, ret);
	if (is_finding(event) && ret->action < PYAUDIT_ACTION_ALERT)
		ret->action = PYAUDIT_ACTION_ALERT;
	return 0;
}

bool
replay_same(const struct replay *replay, const struct capture_event *event,
	    const struct pyaudit_verdict *verdict)
{
	const struct pyaudit_decoded *d = event->decoded;
	bool observed = (d->flags & PYAUDIT_REC_OBSERVED) != 0;

	if (d->action != verdict->action || observed != (verdict->observed != 0) ||
	    d->n_hits != verdict->n_hits)
		return false;
	for (unsigned i = 0; i < d->n_hits; i++)
		if (event->policy == NULL || d->hits[i] >= event->policy->n_ids ||
		    strcmp(event->policy->ids[d->hits[i]],
			   rules_id_at(replay->rules, verdict->hits[i])) != 0)
			return false;
	return true;
}

void
replay_apply(const struct capture_event *event, const struct pyaudit_verdict *verdict)
{
	struct pyaudit_decoded *d = event->decoded;

	d->action = verdict->action;
	d->flags &= (uint16_t)~PYAUDIT_REC_OBSERVED;
	if (verdict->observed)
		d->flags |= PYAUDIT_REC_OBSERVED;
	d->n_hits = verdict->n_hits;
	memcpy(d->hits, verdict->hits, sizeof(d->hits));
}

bool
replay_sort(const struct replay *replay, const struct capture_event *event, struct memory_hits *ret)
{
	struct pyaudit_decoded *d = event->decoded;
	bool told = memory_sort(d, replay->rules, ret);

	if (ret->n > 0 && d->n_hits == 0 && d->action == PYAUDIT_ACTION_RECORD && !told &&
	    event->policy != NULL)
		told = compile_records(&event->policy->options, d->event.id);
	return told && d->action != PYAUDIT_ACTION_NONE;
}

int
replay_remember(struct replay *replay, const struct capture_event *event, struct report *report,
		const struct memory_hits *hits, memory_fire_fn *fire, void *data)
{
	const struct memory_subject subject = {.process = event->process_number,
					       .tree = event->tree};

	/* Captures of before had no clock: what happens is it. */
	if (!event->has_clock && event->decoded->time_ns > replay->now_ns)
		replay_clock(replay, event->decoded->time_ns, fire, data);
	if (hits->n == 0)
		return 0;
	if (replay->memory == NULL)
		replay->memory = memory_new();
	if (replay->memory == NULL)
		return -ENOMEM;
	memory_judge(replay->memory, report, hits, &subject, event->record, event->size,
		     event->is_ahead ? replay->now_ns : UINT64_MAX, fire, data);
	return 0;
}

void
replay_look(struct replay *replay, const struct capture_event *event, struct report *report,
	    const struct memory_hits *hits, unsigned i, struct memory_state *ret)
{
	const struct memory_subject subject = {.process = event->process_number,
					       .tree = event->tree};

	*ret = (struct memory_state){0};
	if (replay->memory != NULL)
		memory_look(replay->memory, report, hits, i, &subject, ret);
}

void
replay_clock(struct replay *replay, uint64_t now_ns, memory_fire_fn *fire, void *data)
{
	replay->now_ns = now_ns;
	if (replay->memory != NULL)
		memory_sweep(replay->memory, now_ns, fire, data);
}
