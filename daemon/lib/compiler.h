/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the compiler share. compile.c drives; each part turns one idea into bytes:
 *
 *   compile_image.c   memory that lives as long as the compiler, and the buffer the image grows in
 *   compile_test.c    a condition to a graph of nodes over shared tests
 *   compile_access.c  a condition to the triggers of which one must be met for it to hold
 *   compile_trie.c    triggers at the start or end of a value, and addresses, to a trie
 *   compile_grams.c   triggers anywhere in a value to a table of grams
 *   compile_masks.c   grams to masks that find them
 *   compile_index.c   the triggers of one field in one program to its index
 */
#ifndef LIB_COMPILER_H
#define LIB_COMPILER_H

#include "buf.h"
#include "compile.h"
#include "pattern.h"
#include "verdict.h"

#define N_EVENT_FIELDS PYAUDIT_F_PROC_PID
#define TRIGGER_LEN_MAX 64 /* a longer text is looked up by its first or last bytes */
#define GRAM_LITERAL_MAX 128
#define UNION_MAX 32 /* patterns that are tried as one automaton */

/* Memory that lives as long as the compiler. */
struct block {
	struct block *next;
	size_t used, size;
	char bytes[];
};

enum trigger_kind {
	TRIGGER_WHOLE,
	TRIGGER_PREFIX,
	TRIGGER_UNDER,
	TRIGGER_SUFFIX,
	TRIGGER_WITHIN,
	TRIGGER_NUMBER,
	TRIGGER_ADDRESS,
	TRIGGER_GLOB,
	TRIGGER_REGEX,
	TRIGGER_ANY,
};

struct trigger {
	uint8_t kind;
	uint8_t field;
	uint16_t len;
	const char *text;
	int64_t number;
};

/* What a condition cannot hold without. */
struct access {
	bool known; /* else nothing is: the rule is looked at always */
	int worth;  /* of the weakest */
	struct trigger *triggers;
	size_t n, size;
};

struct test_entry {
	uint64_t hash;
	const struct expr *expr;
	uint32_t index;
};

struct program_entry {
	uint64_t hash;
	uint64_t fields; /* that lead to its rules and that its events may have, a bit each */
	uint16_t *rules;
	size_t n_rules;
	uint32_t offset; /* 0: no rule of it can match */
};

/* Bytes that were put into the image. */
struct placed {
	uint64_t hash;
	uint32_t at, n; /* n 0: none */
};

struct compiler {
	const struct rule_set *set;
	const struct compile_options *options;
	struct diag *diag;
	struct buf out;
	struct placed *placed; /* open addressing */
	size_t n_placed, placed_size;
	uint64_t n_shared; /* bytes that were not put again */
	struct buf built;
	struct block *blocks;
	bool no_memory;
	bool too_large;
	bool mistakes;

	struct pyaudit_test *tests;
	size_t n_tests, tests_size;
	struct test_entry *table; /* of tests, open addressing */
	size_t table_size;
	pyaudit_le32 *proc_tests;
	size_t n_proc_tests, proc_tests_size;

	struct access *access;	    /* of each rule */
	struct pyaudit_rule *rules; /* as they go into the image */
	uint16_t **allowed_by;	    /* of each rule: the allow rules that name it */
	size_t *n_allowed_by;

	struct program_entry *programs;
	size_t n_programs, programs_size;
};

/* compile_image.c. What fails is noted in the compiler and said once, at the end. */

/* Memory until the compiler ends, or NULL. */
void *compiler_take(struct compiler *c, size_t n);
/* Room for one more element of the growing array whose address is @array. */
bool compiler_grow(struct compiler *c, void *array, size_t n, size_t *size, size_t each);
__attribute__((format(printf, 5, 6))) void compiler_mistake(struct compiler *c,
							    const struct expr *expr, unsigned line,
							    unsigned column, const char *format,
							    ...);
/* Puts bytes into the image, behind what is there or, where the same ones are there already, not again: their
 * offset, for good. Lists of nothing are {0, 0}. */
uint32_t image_put(struct compiler *c, const void *bytes, size_t n, size_t align);
pyaudit_le32 image_put_table(struct compiler *c, const void *bytes, size_t n, size_t each);
pyaudit_le32 image_put_text(struct compiler *c, const char *text, size_t len);
struct pyaudit_list image_put_list(struct compiler *c, const uint16_t *items, size_t n);
pyaudit_le32 image_put_dfa(struct compiler *c, const struct dfa *dfa);
/* Bytes that are made one by one are added to what image_build returns, and put by image_put_built. */
struct buf *image_build(struct compiler *c);
uint32_t image_put_built(struct compiler *c, size_t align);
/* Bits of a table with room for @n. */
unsigned image_bits_for(size_t n);

/* compile_test.c */

void compile_rule(struct compiler *c, const struct rule *rule, struct pyaudit_rule *ret);

static inline bool
expr_value_is_text(const struct expr_value *value)
{
	return value->text != NULL;
}

static inline enum pattern_kind
pattern_kind_of(const struct expr *expr)
{
	return expr->cmp == CMP_GLOB ? PATTERN_GLOB : PATTERN_REGEX;
}

static inline bool
expr_is_cidr(const struct expr *expr)
{
	return expr->cmp == CMP_CIDR || (expr->cmp == CMP_EQ && expr->field < PYAUDIT_N_FIELDS &&
					 pyaudit_fields[expr->field].type == PYAUDIT_TYPE_IP);
}

/* compile_access.c */

struct access access_of(struct compiler *c, const struct expr *expr, bool negated);
void access_fini(struct access *access);

/* compile_trie.c, compile_grams.c: one trigger of a field, and the rule of the program it is for.
 */

struct key {
	const char *text;
	uint16_t len;
	bool end; /* the text must end there */
	uint16_t rule;
};

int index_key_compare(const void *a, const void *b);
/* The rules of @keys, each once. */
struct pyaudit_list index_put_rules(struct compiler *c, const struct key *keys, size_t n);
/* Sorts @keys. */
pyaudit_le32 index_put_trie(struct compiler *c, struct key *keys, size_t n, bool backward);
/* One table for the literals of at least @width bytes; @keys are sorted. */
pyaudit_le32 index_put_grams(struct compiler *c, const struct key *keys, size_t n_keys,
			     unsigned width);

/* compile_masks.c */

/* For each byte of a gram; @n of them, from byte @first on, do. */
struct masks {
	struct pyaudit_gram_masks bytes[4];
	struct pyaudit_gram_whole whole[4];
	uint8_t first, n;
};

/* Masks that let these grams pass, each once in @grams; false where that would cost more than to look at
 * each @stride-th place without. */
bool masks_make(struct compiler *c, struct masks *ret, const double shares[256], const uint32_t *grams,
		size_t n_grams, unsigned width, unsigned stride);
/* How much of texts each byte is, about; and at how many of their places a gram may be expected. */
void masks_shares(double ret[256]);
double masks_share(const double shares[256], uint32_t gram, unsigned width);

/* compile_index.c */

struct numbered {
	int64_t value;
	uint16_t rule;
};

enum key_group {
	KEYS_FORWARD,
	KEYS_BACKWARD,
	KEYS_ADDRESS,
	KEYS_GRAM4,
	KEYS_GRAM2,
	KEYS_GRAM1,
	KEYS_ANY,
	KEYS_PATHS,
	KEYS_GLOB,
	KEYS_REGEX,
	N_KEY_GROUPS,
};

/* What leads from one field to rules of a program. */
struct index_plan {
	struct key *keys[N_KEY_GROUPS];
	size_t n[N_KEY_GROUPS], size[N_KEY_GROUPS];
	struct numbered *numbers;
	size_t n_numbers, numbers_size;
	bool used;
};

void index_plan_add(struct compiler *c, struct index_plan *plan, const struct trigger *t,
		    unsigned rule);
void index_plan_fini(struct index_plan *plan);
struct pyaudit_index index_put(struct compiler *c, unsigned field, struct index_plan *plan);

/* compile.c: what a look at a field costs: nothing, frames, the directories of packages, the way of a path. The dear
 * ones are asked last. */
#define DEAREST 3
unsigned compiler_dearness(unsigned field);

/* compile_parts.c: rules and their parts as one list; the caller frees ret->rules. False: no memory. */
bool compile_expand(struct compiler *c, const struct rule_set *set, struct rule_set *ret);

#endif
