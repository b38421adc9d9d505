/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What looks like a credential in the text of an event, so that it is told of and not told:
 * records, HELLO and what the daemon reads of a command line have `<redacted:KIND>` in its place.
 * Rules are judged on the real text. One pass, no allocation, time linear in the text; libc only.
 *
 * Found are tokens that say by their beginning what they are, values of keys whose name says so
 * (password=, "api_key": , --token x), passwords in URLs, authorization headers, private keys, and
 * the options by which well-known programs take a password; and what has one of the forms that the
 * site's own rules name. A credential that looks like any other
 * word
 * (`prog hunter2`) is not known for one.
 */
#ifndef AGENT_SECRETS_H
#define AGENT_SECRETS_H

#include "event.h"
#include "pyaudit/policy.h"

#define PYAUDIT_SECRET_KIND_MAX 20 /* bytes of a kind's name */

/* What stood before the text at hand: carried from one to the next of a list. */
struct pyaudit_secrets {
	bool code;	 /* Python source: only what is quoted is a value */
	bool word;	 /* an element of a list: one word of a command */
	bool name;	 /* the text at hand is the name of the next one */
	uint8_t next;	 /* kind of the text that comes next, whatever it looks like; 0: none */
	uint8_t after;	 /* of the next text, what follows this byte alone; 0: all of it */
	uint8_t program; /* that options are given to, 0: none that is known */
	const struct pyaudit_forms *own; /* taken by pyaudit_secret_likely, and kept from then on */
};

/* A part of a text, and its kind. */
struct pyaudit_secret {
	uint32_t from, to;
	uint8_t kind;
};

/* Forms of the site's own from now on, for all threads; NULL: none. They stay where they are until others take their
 * place. The first comes before the first text is looked at. */
void pyaudit_secrets_use(const struct pyaudit_forms *forms);
/* They are about to go: none, if they are in use. */
void pyaudit_secrets_forget(const struct pyaudit_forms *forms);
/* Name of a set of characters, such as "alnum"; NULL behind the last. */
const char *pyaudit_form_set_name(unsigned set);

/* Where texts are remembered in which nothing was found, if they are to be: before the first look, zeroed memory of as
 * many bytes as this says, aligned to 64. NULL only asks how many. */
size_t pyaudit_secrets_room(void *room);

/* For the arguments of this event. */
struct pyaudit_secrets pyaudit_secrets_of(const struct pyaudit_event *event);

/* Quickly: is a closer look worth while? False for most texts. Always call it before the first
 * pyaudit_secret_next of a text, for it takes along what the text means for the next one. */
bool pyaudit_secret_likely(struct pyaudit_secrets *ctx, const struct pyaudit_value *text);

/* The next secret of @text that begins at @at or later. */
bool pyaudit_secret_next(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, uint32_t at,
			 struct pyaudit_secret *ret);

/* Its name, such as "github-token": [a-z0-9-], at most PYAUDIT_SECRET_KIND_MAX. */
const char *pyaudit_secret_kind(const struct pyaudit_secrets *ctx, unsigned kind);

/* Bits of the kinds in @text: of credentials, and of what stands for some that were replaced. */
uint64_t pyaudit_secret_kinds(struct pyaudit_secrets *ctx, const struct pyaudit_value *text);

/* Writes @text into @out with its secrets replaced, at most @size bytes: returns how many it takes
 * whole, which may be more than @size, as snprintf does. */
size_t pyaudit_redact(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, char *out,
		      size_t size);

#endif
