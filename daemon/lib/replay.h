/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges events of a capture by other rules, or by the same again: each as the agent would, by the
 * image its policy would have been and the facts of its process. Rules with memory go by the capture's
 * clock, and begin with nothing remembered.
 */
#ifndef LIB_REPLAY_H
#define LIB_REPLAY_H

#include "capture.h"
#include "memory.h"
#include "verdict.h"

#define REPLAY_FIRSTS_MAX 64 /* acts begun, of which the second event may come (pyaudit_is_first_of_two) */
#define REPLAY_IMAGES_MAX 8 /* for captures whose settings changed; then the oldest is remade */

struct replay {
	const struct rule_set *rules;
	bool observe; /* whatever the capture says */
	struct diag *diag;
	struct {
		struct compile_options options;
		struct image image;
	} images[REPLAY_IMAGES_MAX];
	unsigned n_images, n_made;
	const struct pyaudit_facts *bound_facts; /* what `bits` are of */
	const void *bound_image;
	uint64_t bound_process; /* another process may stand at the same address */
	struct pyaudit_proc_bits bits;
	struct replay_first {
		uint32_t pid, tid;
		uint16_t event;
		const void *image;
		struct pyaudit_verdict verdict;
	} firsts[REPLAY_FIRSTS_MAX];
	unsigned n_firsts;     /* ever; the newest are there */
	struct memory *memory; /* made when first needed */
	uint64_t now_ns;       /* of the capture */
};

void replay_init(struct replay *replay, const struct rule_set *rules, struct diag *diag);
void replay_fini(struct replay *replay);

/* 0 and the verdict; RULES_E_INVALID (the rules do not compile: mistakes in diag) or a negative
 * errno. */
int replay_judge(struct replay *replay, const struct capture_event *event,
		 struct pyaudit_verdict *ret);

/* Whether the capture has the same verdict: action, observed, and the same rules in order. */
bool replay_same(const struct replay *replay, const struct capture_event *event,
		 const struct pyaudit_verdict *verdict);

/* Puts the verdict in the place of the recorded one, for report_json. */
void replay_apply(const struct capture_event *event, const struct pyaudit_verdict *verdict);

/* Takes what is of rules with memory out of the applied verdict. True: it would be told. */
bool replay_sort(const struct replay *replay, const struct capture_event *event,
		 struct memory_hits *ret);
/* What the memories make of that; @report is the event's, sorted. 0 or -ENOMEM. */
int replay_remember(struct replay *replay, const struct capture_event *event, struct report *report,
		    const struct memory_hits *hits, memory_fire_fn *fire, void *data);
/* What the memories hold of it before that; @i of @hits. */
void replay_look(struct replay *replay, const struct capture_event *event, struct report *report,
		 const struct memory_hits *hits, unsigned i, struct memory_state *ret);
/* The capture's clock: absences whose time is over. */
void replay_clock(struct replay *replay, uint64_t now_ns, memory_fire_fn *fire, void *data);
/* Another reading of the same capture begins. */
void replay_forget(struct replay *replay);

#endif
