/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one evaluator: judges an event against a policy image, in the agent's hook, in the daemon,
 * in `rules test` and in filters. libc only; never allocates, never fails, bounded time.
 */
#ifndef AGENT_VERDICT_H
#define AGENT_VERDICT_H

#include "event.h"
#include "pyaudit/policy.h"

/* What rules said of one event. */
struct pyaudit_verdict {
	uint8_t action;	  /* enum pyaudit_action: the strongest; RECORD where only the slot asks */
	uint8_t observed; /* 1: block or kill, weakened to alert by observe mode */
	uint8_t n_hits;	  /* rules that matched, strongest first; allowed ones are left out */
	uint8_t pure;	  /* 1: the same arguments have it again, in this process and by this image;
			   * no rule looked at the code that raised the event */
	uint16_t hits[PYAUDIT_HITS_MAX];
	uint8_t is_counted; /* 1: a rule with memory matched */
};

/* Whether @second has nothing to say of an act of which @first was told: no stronger action, and no rule that alerts or
 * counts and was not among the first's. Both are of this image. */
bool pyaudit_verdict_adds_nothing(const void *image, const struct pyaudit_verdict *second,
				  const struct pyaudit_verdict *first);
/* Of the second audit event of an act: alerts, and what counts for one, are of acts, and where @second adds nothing to
 * @first what is left of it is the record, where rules or the slot ask for one. False: it adds something, and is as it was. */
bool pyaudit_verdict_tell_once(const void *image, const struct pyaudit_slot *slot, struct pyaudit_verdict *second,
			       const struct pyaudit_verdict *first);

/* Conditions on proc.* fields are evaluated once per process and image into these bits. */
struct pyaudit_proc_bits {
	uint64_t word[PYAUDIT_PROC_ATOMS_MAX / 64];
};

/* Checks every offset, count and table of an image once, so that judging needs no bounds checks.
 * 0, or -EBADMSG (not an image, damaged, hostile), -EPROTO (another major version). The image
 * must be 8-byte aligned and must not change afterwards. */
int pyaudit_image_check(const void *image, size_t size);

uint64_t pyaudit_image_generation(const void *image);
uint32_t pyaudit_image_flags(const void *image); /* enum pyaudit_image_flags */

/* Forms of credentials of the site's own, or NULL. */
const struct pyaudit_forms *pyaudit_image_forms(const void *image);

/* Sum of all bytes but the checksum's own; whoever makes or changes an image sets it. */
uint64_t pyaudit_image_checksum(const void *image, size_t size);

/* What to do with events of this name: never NULL (a name no rule and no setting mentions gets
 * the image's slot for other events). Two loads, a hash and a compare. */
const struct pyaudit_slot *pyaudit_image_slot(const void *image, const char *name);

/* What is done with its events whatever the rules say. */
static inline uint8_t
pyaudit_slot_action(const struct pyaudit_slot *slot)
{
	return (slot->flags & PYAUDIT_SLOT_RECORD) != 0 ? PYAUDIT_ACTION_RECORD : PYAUDIT_ACTION_NONE;
}

/* Evaluates the proc.* conditions of the image for one process. */
void pyaudit_image_bind(const void *image, const struct pyaudit_facts *facts,
			struct pyaudit_proc_bits *ret);

/* Judges one event. @slot came from pyaudit_image_slot of the same image. */
void pyaudit_judge(const void *image, const struct pyaudit_slot *slot,
		   const struct pyaudit_proc_bits *proc, struct pyaudit_event *event,
		   struct pyaudit_verdict *ret);

/* 1 + the argument of an event that tells, as it stands and at a look, whether the index leads to rules; 0: none does. */
static inline unsigned
pyaudit_index_glance(unsigned event, const struct pyaudit_index *index)
{
	unsigned arg = pyaudit_field_argument(event, index->field);

	if ((index->parts & (PYAUDIT_INDEX_ANY | PYAUDIT_INDEX_ADDRESS)) != 0 ||
	    pyaudit_load16(index->n_automata.b) != 0 || arg >= PYAUDIT_ARGS_MAX)
		return 0;
	return arg + 1;
}

/*
 * Whether no rule is concerned by an event whose argument slot->glance tells of is this text, as far as a look at it can
 * tell, which is most of what is to be told of most events: then pyaudit_judge would find nothing. Of a slot that has a
 * glance and is judged and nothing else. Much cheaper than to judge.
 */
bool pyaudit_glance(const void *image, const struct pyaudit_slot *slot, const char *s, size_t len);

/* Facts of rule number @rule, for messages and the daemon. Ids are NUL terminated. */
const char *pyaudit_image_rule_id(const void *image, unsigned rule);
/* At most PYAUDIT_ACK_MS_MAX. */
unsigned pyaudit_image_rule_ack_ms(const void *image, unsigned rule);
unsigned pyaudit_image_n_rules(const void *image);

/*
 * What tests mean, for those who evaluate conditions without an image.
 */

/* Lexically: //, /./ and /../ are resolved, no slash at the end; a relative path keeps its leading
 * "..", and "." becomes "". Returns the length, never above @len, or SIZE_MAX where @size does not
 * do (@len + 1 always does). Not NUL terminated. */
size_t pyaudit_path_normalise(char *out, size_t size, const char *path, size_t len);
/* Is @path the directory @dir (normalised) or below it, once normalised itself? */
bool pyaudit_path_under(const char *dir, size_t dir_len, const char *path, size_t len);
/* Text that is a 64-bit number in decimal: arguments of any type are given as text. */
bool pyaudit_number_parse(const char *s, size_t len, int64_t *ret);
/* Address in text, as the C library takes it (127.1 and 0x7f000001 too; a zone is dropped): 4 or 6
 * and its bytes, or 0. An IPv4 address mapped into IPv6 is an IPv4 one. */
unsigned pyaudit_address_parse(const char *s, size_t len, uint8_t ret[16]);
/* 10.0.0.0/8, or an address alone. False where it is none. */
bool pyaudit_network_parse(struct pyaudit_network *ret, const char *s, size_t len);
bool pyaudit_address_within(unsigned family, const uint8_t *address,
			    const struct pyaudit_network *net);

#endif
