/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges events of a capture by other rules, or by the same again: each as the agent would, by the
 * image its policy would have been and the facts of its process.
 */
#ifndef LIB_REPLAY_H
#define LIB_REPLAY_H

#include "capture.h"
#include "verdict.h"

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

#endif
