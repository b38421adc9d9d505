/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The policy image: what rules compile to. One flat, position-independent, versioned block that
 * agent and tools map read-only and evaluate in place. Made by daemon/lib/compile.c, checked and
 * evaluated by agent/verdict.c.
 *
 * How it is laid out: a header, then tables that refer to each other by their offset from the
 * start of the image; offset 0 means that there is no such table. Everything is little endian with
 * alignment 1.
 *
 *   slots     hash table of event names; a slot has the flags of its event and its program
 *   program   what judges one event: its rules, those to look at always, and one index for each
 *             field whose values lead to rules
 *   index     finds the rules that a value of the field may concern: by whole text, beginning and
 *             end (tries), by a text within (hashed grams), by number, by address, by automata
 *             for patterns that have no text to look for. It names candidates, a superset;
 *             whether a rule holds is said by its nodes alone
 *   rule      its condition as a graph of nodes that leads forward only: a test, and where to go
 *             on from there when it holds and when it does not
 *   test      one field against values; shared by all rules that ask the same
 */
#ifndef PYAUDIT_POLICY_H
#define PYAUDIT_POLICY_H

#include <assert.h>
#include <stddef.h>

#include "pyaudit/le.h"
#include "pyaudit/record.h"

#define PYAUDIT_IMAGE_MAGIC 0x31504150u /* "PAP1" */
#define PYAUDIT_IMAGE_MAJOR 8		/* differs from ours: the image is refused */
#define PYAUDIT_IMAGE_MINOR 0
#define PYAUDIT_IMAGE_SIZE_MAX (64u << 20)
#define PYAUDIT_RULES_MAX 16384
#define PYAUDIT_ACK_MS_MAX 10000
#define PYAUDIT_RULE_ID_MAX 64 /* bytes without the NUL: [a-z0-9][a-z0-9._-]* */
#define PYAUDIT_PROC_ATOMS_MAX 1024

/* Dispatch entry of one event name. */
enum pyaudit_slot_flags {
	PYAUDIT_SLOT_RECORD = 1 << 0, /* goes to the ring whatever the rules say */
	PYAUDIT_SLOT_JUDGE = 1 << 1,  /* some rule names the event */
	PYAUDIT_SLOT_ANNOUNCE = 1 << 2, /* somebody asks for what follows it, the libc call or a second audit
					 * event, which is then known to be no act of its own */
	PYAUDIT_SLOT_CONTEXT = 1 << 3,	/* alone: remembered for alerts, and not judged */
};

struct pyaudit_slot {
	pyaudit_le32 name; /* offset of the NUL-terminated event name; 0: the slot of all others */
	pyaudit_le32 name_len;
	pyaudit_le16 event; /* enum pyaudit_event_id */
	uint8_t flags;	    /* enum pyaudit_slot_flags: 0 means that nobody asks, drop it */
	uint8_t glance; /* 1 + the argument by which pyaudit_glance may say that no rule is concerned,
			 * where it is judged and nothing else; 0: there is none */
	pyaudit_le32 program; /* offset of what judges it; meaning is verdict.c's */
};
static_assert(sizeof(struct pyaudit_slot) == 16, "slot size");

enum pyaudit_image_flags {
	PYAUDIT_IMAGE_OBSERVE = 1 << 0, /* for show: the rules have been weakened one by one */
	PYAUDIT_IMAGE_STAY = 1 << 1,	/* children with an environment of their own are let go */
	PYAUDIT_IMAGE_FOLLOW_ALL = 1 << 2, /* all are followed, not Python and shells alone */
	PYAUDIT_IMAGE_PACKAGES = 1 << 3, /* some rule asks for packages: alerts name them */
	PYAUDIT_IMAGE_REAL = 1 << 4, /* some rule asks where paths lead: records say it */
	/* Bits 8 to 13: how many events before it an alert tells of, at most PYAUDIT_CONTEXT_MAX. */
	PYAUDIT_IMAGE_CONTEXT_SHIFT = 8,
	PYAUDIT_IMAGE_CONTEXT_MASK = 0x3f,
	/* Bits 16 to 19: how often the ordinary lane of a new ring is doubled. */
	PYAUDIT_IMAGE_RING_SHIFT = 16,
	PYAUDIT_IMAGE_RING_MASK = 0xf,
};

/*
 * Forms of credentials of the site's own, beside those of agent/secrets.c: a beginning, and so many bytes of a set at
 * least behind it. A table of them begins with their count.
 */
#define PYAUDIT_FORMS_MAX 32
#define PYAUDIT_FORM_KIND_MAX 20   /* [a-z][a-z0-9-]* */
#define PYAUDIT_FORM_PREFIX_MIN 3  /* less is the beginning of too many words */
#define PYAUDIT_FORM_PREFIX_MAX 32 /* of A-Z a-z 0-9 _ - */
#define PYAUDIT_FORM_WHOLE_MIN 16  /* bytes of the shortest credential: what is shorter is not looked at */

enum pyaudit_form_set {
	PYAUDIT_FORM_UPPER, /* A-Z 0-9 */
	PYAUDIT_FORM_HEX,
	PYAUDIT_FORM_ALNUM,
	PYAUDIT_FORM_WORD, /* and _ */
	PYAUDIT_FORM_URL,  /* and - */
	PYAUDIT_N_FORM_SETS,
};

struct pyaudit_form {
	char kind[PYAUDIT_FORM_KIND_MAX + 1]; /* NUL terminated */
	uint8_t set; /* enum pyaudit_form_set */
	uint8_t min; /* bytes behind the prefix */
	uint8_t n_prefix;
	char prefix[PYAUDIT_FORM_PREFIX_MAX];
};
static_assert(sizeof(struct pyaudit_form) == 56, "form size");

struct pyaudit_forms {
	pyaudit_le32 n;
	struct pyaudit_form form[];
};
static_assert(sizeof(struct pyaudit_forms) == 4, "form table head size");

struct pyaudit_image {
	pyaudit_le32 magic;
	pyaudit_le16 major;
	pyaudit_le16 minor;
	pyaudit_le32 size;
	pyaudit_le32 flags;
	pyaudit_le64 generation;
	pyaudit_le64 checksum; /* of all other bytes: finds torn files, not malice */
	pyaudit_le32 slots;
	pyaudit_le32 slot_bits; /* log2 of the table's size; one slot at least is empty */
	struct pyaudit_slot other;
	pyaudit_le32 rules, n_rules;
	pyaudit_le32 tests, n_tests;
	pyaudit_le32 proc_tests, n_proc_tests; /* le32 each: the test that makes proc bit i */
	pyaudit_le32 programs, n_programs;     /* le32 each: their offsets, ascending */
	pyaudit_le32 forms; /* struct pyaudit_forms, 0: none */
	pyaudit_le32 reserved;
};
static_assert(sizeof(struct pyaudit_image) == 96, "image header size");

/* Numbers of rules, as le16. Of the program's rules: index into pyaudit_program.rules. */
struct pyaudit_list {
	pyaudit_le32 at, n;
};

enum pyaudit_rule_flags {
	PYAUDIT_RULE_ALLOW = 1 << 0,	/* only takes other rules back */
	PYAUDIT_RULE_WEAKENED = 1 << 1, /* block or kill before observe mode made it an alert */
	PYAUDIT_RULE_MEMORY = 1 << 2,	/* the daemon may alert by its record, which has the context for that */
};

struct pyaudit_rule {
	pyaudit_le32 id; /* NUL terminated */
	pyaudit_le32 nodes, n_nodes;
	pyaudit_le32 entry; /* first node; n_nodes: never holds, n_nodes + 1: always */
	uint8_t action;	    /* enum pyaudit_action, weakened already */
	uint8_t flags;
	pyaudit_le16 ack_ms; /* the act waits so long for its alert to be written; 0: not at all */
};
static_assert(sizeof(struct pyaudit_rule) == 20, "rule size");

/* Both ways lead to a later node, or to n_nodes (does not hold) or n_nodes + 1 (holds). */
struct pyaudit_node {
	pyaudit_le32 test;
	pyaudit_le32 yes, no;
};
static_assert(sizeof(struct pyaudit_node) == 12, "node size");

enum pyaudit_test_op {
	PYAUDIT_TEST_EXISTS = 1, /* has a value; of a BOOL: is true */
	PYAUDIT_TEST_EQUAL,	 /* data: texts; ints: sorted le64 */
	PYAUDIT_TEST_EQUAL_SET,	 /* data: hash table of texts, a power of two with an empty one */
	PYAUDIT_TEST_RANGE,	 /* ints: lowest and highest that hold */
	PYAUDIT_TEST_STARTSWITH, /* data: texts */
	PYAUDIT_TEST_ENDSWITH,	 /* data: texts */
	PYAUDIT_TEST_CONTAINS,	 /* data: texts */
	PYAUDIT_TEST_UNDER,	 /* data: texts, normalised paths */
	PYAUDIT_TEST_PATTERN,	 /* data: le32 offsets of automata */
	PYAUDIT_TEST_CIDR,	 /* data: networks */
};

#define PYAUDIT_NO_PROC_BIT 0xffff

struct pyaudit_test {
	uint8_t op;
	uint8_t field;
	pyaudit_le16 proc_bit; /* fields of scope PROC: the bit that has the answer */
	pyaudit_le32 data, n_data;
	pyaudit_le32 ints, n_ints;
};
static_assert(sizeof(struct pyaudit_test) == 20, "test size");

struct pyaudit_text {
	pyaudit_le32 at, len;
};
#define PYAUDIT_TEXT_EMPTY 0xffffffffu /* length of an empty entry of a hash table */

struct pyaudit_network {
	uint8_t family; /* 4 or 6 */
	uint8_t bits;
	uint8_t address[16];
};
static_assert(sizeof(struct pyaudit_network) == 18, "network size");

/* State 0 is dead, state 1 has matched whatever follows; states from first_accept on hold if the
 * text ends there. next has n_states rows of n_classes states: where there are no more than
 * PYAUDIT_DFA_NARROW, of a byte each, else le16. */
#define PYAUDIT_DFA_NARROW 256
struct pyaudit_dfa {
	pyaudit_le32 n_states;
	pyaudit_le32 n_classes;
	pyaudit_le32 start;
	pyaudit_le32 first_accept;
	uint8_t classes[256];
	uint8_t next[];
};
static_assert(sizeof(struct pyaudit_dfa) == 272, "automaton head size");

struct pyaudit_program {
	pyaudit_le32 rules, n_rules; /* struct pyaudit_program_rule */
	struct pyaudit_list always;
	pyaudit_le32 indexes, n_indexes; /* struct pyaudit_index, dear fields last */
};
static_assert(sizeof(struct pyaudit_program) == 24, "program size");

struct pyaudit_program_rule {
	pyaudit_le16 rule;
	pyaudit_le16 n_allow;
	pyaudit_le32 allow; /* le16 rule numbers: it does not count where one of these holds */
};
static_assert(sizeof(struct pyaudit_program_rule) == 8, "program rule size");

/* Which parts of an index there are. */
enum pyaudit_index_parts {
	PYAUDIT_INDEX_ANY = 1 << 0,
	PYAUDIT_INDEX_PATHS = 1 << 1,
	PYAUDIT_INDEX_FORWARD = 1 << 2,
	PYAUDIT_INDEX_BACKWARD = 1 << 3,
	PYAUDIT_INDEX_ADDRESS = 1 << 4,
	PYAUDIT_INDEX_GRAMS = 1 << 5, /* three bits */
};

struct pyaudit_index {
	uint8_t field;
	uint8_t parts;
	pyaudit_le16 n_automata;
	struct pyaudit_list any;   /* wherever the field has a value */
	struct pyaudit_list paths; /* those that ask `under`: a path not normal concerns them */
	pyaudit_le32 forward;	   /* trie over the text from its start */
	pyaudit_le32 backward;	   /* trie over the text from its end */
	pyaudit_le32 address;	   /* trie over '4' or '6' and the bytes of the address */
	pyaudit_le32 grams[3];	   /* texts within, found by 4, 2 and 1 bytes */
	pyaudit_le32 ints, n_ints; /* struct pyaudit_index_int, sorted */
	pyaudit_le32 automata;	   /* struct pyaudit_index_automaton */
};
static_assert(sizeof(struct pyaudit_index) == 56, "index size");

/* Patterns without a text to look them up by, several in one automaton. */
struct pyaudit_index_automaton {
	pyaudit_le32 dfa;
	struct pyaudit_list rules; /* where one of the patterns holds */
};
static_assert(sizeof(struct pyaudit_index_automaton) == 12, "automaton entry size");

struct pyaudit_index_int {
	pyaudit_le64 value;
	struct pyaudit_list rules;
};
static_assert(sizeof(struct pyaudit_index_int) == 16, "number entry size");

/* Node 0 is the root. Children come after their parent. */
struct pyaudit_trie {
	pyaudit_le32 nodes, n_nodes;
};

#define PYAUDIT_LABEL_MAX 8

struct pyaudit_trie_node {
	pyaudit_le64 label; /* bytes to walk over, after the one that led here, as they stand in
			       the text: the first is the lowest; the rest is zero */
	uint8_t label_len;
	uint8_t low; /* byte of the first child */
	pyaudit_le16 n_children;
	pyaudit_le32 children;	  /* le32 node numbers, 0: none; of bytes low, low + 1, ... */
	struct pyaudit_list here; /* the text has come as far as here */
	struct pyaudit_list end;  /* and ends here */
};
static_assert(sizeof(struct pyaudit_trie_node) == 32, "trie node size");

/* Texts to find anywhere. Bytes are folded (| 0x20) on both sides, so that case does not matter.
 * Every stride-th position of the text is looked up; each literal has its grams of stride
 * successive positions in the table. With masks, whose stride is 1, those positions alone that they
 * let pass. */
struct pyaudit_grams {
	uint8_t width; /* bytes of a gram: 4, 2 or 1 */
	uint8_t stride;
	uint8_t filter_bits; /* log2 of the bits at filter: what is not set there is not in the
				table */
	uint8_t table_bits;
	pyaudit_le32 filter;
	pyaudit_le32 table; /* struct pyaudit_gram; one at least is empty */
	pyaudit_le32 literals, n_literals;
	pyaudit_le32 masks; /* struct pyaudit_gram_masks for each byte of a gram; 0: none */
	uint8_t first_mask; /* where to ask for all of them takes too long: the first that tells much, */
	uint8_t n_masks;    /* and how many */
	pyaudit_le16 reserved;
	pyaudit_le32 whole; /* struct pyaudit_gram_whole for each byte of a gram, where there are masks */
};
static_assert(sizeof(struct pyaudit_grams) == 32, "gram table size");

/* Grams are in eight groups, a bit each. A byte of the text, not folded, may be this byte of a gram of
 * the groups that both its halves have here. */
struct pyaudit_gram_masks {
	uint8_t low[16], high[16];
};
static_assert(sizeof(struct pyaudit_gram_masks) == 32, "gram mask size");

/* The same for whole bytes, each at its bits 0 to 4 and 6: which case a letter has, and the highest bit, make no
 * difference. */
struct pyaudit_gram_whole {
	uint8_t groups[64];
};
static_assert(sizeof(struct pyaudit_gram_whole) == 64, "gram byte table size");

struct pyaudit_gram {
	pyaudit_le32 gram;
	pyaudit_le32 first, n; /* among the literals; n 0: empty */
};

struct pyaudit_gram_literal {
	pyaudit_le32 text;
	pyaudit_le16 len;
	pyaudit_le16 pos; /* of the gram in it */
	struct pyaudit_list rules;
};
static_assert(sizeof(struct pyaudit_gram_literal) == 16, "literal size");

/* Hashes that compiler and evaluator must agree on. */

static inline uint16_t
pyaudit_load16(const void *p)
{
	uint16_t v;

	__builtin_memcpy(&v, p, 2);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap16(v);
#endif
	return v;
}

static inline uint32_t
pyaudit_load32(const void *p)
{
	uint32_t v;

	__builtin_memcpy(&v, p, 4);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap32(v);
#endif
	return v;
}

static inline uint64_t
pyaudit_load64(const void *p)
{
	uint64_t v;

	__builtin_memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

#define PYAUDIT_HASH_K 0x9e3779b97f4a7c15u

/* Up to 16 bytes as two words that overlap; longer texts by their first and last eight. */
static inline void
pyaudit_ends(const char *s, size_t len, uint64_t *ret_a, uint64_t *ret_b)
{
	if (len >= 8) {
		*ret_a = pyaudit_load64(s);
		*ret_b = pyaudit_load64(s + len - 8);
	} else if (len >= 4) {
		*ret_a = pyaudit_load32(s);
		*ret_b = pyaudit_load32(s + len - 4);
	} else if (len > 0) {
		*ret_a = (uint8_t)s[0];
		*ret_b = (uint64_t)(uint8_t)s[len / 2] << 8 | (uint8_t)s[len - 1];
	} else {
		*ret_a = *ret_b = 0;
	}
}

/* Names of events. The upper bits are the good ones. */
static inline uint64_t
pyaudit_name_hash(uint64_t a, uint64_t b, size_t len)
{
	return (a + (b << 23 | b >> 41) + len) * PYAUDIT_HASH_K;
}

/* Any text. */
static inline uint64_t
pyaudit_text_hash(const char *s, size_t len)
{
	uint64_t h = len * PYAUDIT_HASH_K, a, b;

	for (; len > 16; s += 8, len -= 8)
		h = ((h ^ pyaudit_load64(s)) * PYAUDIT_HASH_K) ^ h >> 29;
	pyaudit_ends(s, len, &a, &b);
	h = (h ^ a) * PYAUDIT_HASH_K;
	h ^= h >> 32;
	h = (h ^ b) * PYAUDIT_HASH_K;
	return h ^ h >> 32;
}

static inline uint32_t
pyaudit_gram_hash(uint32_t gram)
{
	return gram * 0x9e3779b1u;
}

#endif
