/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time is linear because nothing is looked at often: a token begins only where a word begins and is made
 * of what words are made of; a key is looked for over at most KEY_MAX bytes; a value, once found, is
 * passed over whole.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "secrets.h"

#define KEY_MAX 48   /* bytes of a key that are looked at, from its end */
#define RUN_MIN 16   /* shortest token, and the run of word characters that makes a text worth a look */
#define BLANKS_MAX 8 /* between a key and its value */

enum kind {
	KIND_NONE,
	KIND_PASSWORD,
	KIND_SECRET,
	KIND_TOKEN,
	KIND_KEY,
	KIND_AUTHORIZATION,
	KIND_COOKIE,
	KIND_URL_PASSWORD,
	KIND_PRIVATE_KEY,
	KIND_JWT,
	KIND_AWS_KEY,
	KIND_GOOGLE_KEY,
	KIND_AZURE_KEY,
	KIND_GITHUB_TOKEN,
	KIND_GITLAB_TOKEN,
	KIND_SLACK_TOKEN,
	KIND_WEBHOOK,
	KIND_STRIPE_KEY,
	KIND_NPM_TOKEN,
	KIND_PYPI_TOKEN,
	KIND_CLOUD_TOKEN,
	KIND_AI_KEY,
	N_KINDS,
};

/* These tables hold text and no pointers, which the loader would have to relocate in every program. */
static const char kind_names[N_KINDS][14] = {
	[KIND_NONE] = "",
	[KIND_PASSWORD] = "password",
	[KIND_SECRET] = "secret",
	[KIND_TOKEN] = "token",
	[KIND_KEY] = "key",
	[KIND_AUTHORIZATION] = "authorization",
	[KIND_COOKIE] = "cookie",
	[KIND_URL_PASSWORD] = "url-password",
	[KIND_PRIVATE_KEY] = "private-key",
	[KIND_JWT] = "jwt",
	[KIND_AWS_KEY] = "aws-key",
	[KIND_GOOGLE_KEY] = "google-key",
	[KIND_AZURE_KEY] = "azure-key",
	[KIND_GITHUB_TOKEN] = "github-token",
	[KIND_GITLAB_TOKEN] = "gitlab-token",
	[KIND_SLACK_TOKEN] = "slack-token",
	[KIND_WEBHOOK] = "webhook",
	[KIND_STRIPE_KEY] = "stripe-key",
	[KIND_NPM_TOKEN] = "npm-token",
	[KIND_PYPI_TOKEN] = "pypi-token",
	[KIND_CLOUD_TOKEN] = "cloud-token",
	[KIND_AI_KEY] = "ai-key",
};

enum set {
	SET_UPPER, /* A-Z 0-9 */
	SET_HEX,
	SET_ALNUM,
	SET_WORD, /* and _ */
	SET_URL,  /* and - */
	SET_DOTS, /* and . */
	SET_PATH, /* and / */
	SET_BASE64, /* and + / = . ~ _ - : what stands behind Bearer */
};

static_assert((int)SET_UPPER == PYAUDIT_FORM_UPPER && (int)SET_URL == PYAUDIT_FORM_URL, "sets of own forms");
static_assert(N_KINDS + PYAUDIT_FORMS_MAX <= 64, "kinds are bits");
static_assert(PYAUDIT_FORM_WHOLE_MIN >= RUN_MIN, "own forms are long enough to be looked at");

/* Of the site's own. */
static _Atomic(const struct pyaudit_forms *) own_forms;

void
pyaudit_secrets_use(const struct pyaudit_forms *forms)
{
	atomic_store_explicit(&own_forms, forms, memory_order_release);
}

void
pyaudit_secrets_forget(const struct pyaudit_forms *forms)
{
	const struct pyaudit_forms *in_use = forms;

	if (forms != NULL)
		(void)atomic_compare_exchange_strong(&own_forms, &in_use, NULL);
}

const char *
pyaudit_form_set_name(unsigned set)
{
	static const char names[][6] = {"upper", "hex", "alnum", "word", "url"};

	static_assert(sizeof(names) / sizeof(names[0]) == PYAUDIT_N_FORM_SETS, "one name each");
	return set < PYAUDIT_N_FORM_SETS ? names[set] : NULL;
}

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
in_set(char c, enum set set)
{
	if (is_digit(c) || is_upper(c))
		return set != SET_HEX || c <= 'F';
	if (is_lower(c))
		return set > SET_HEX || (set == SET_HEX && c <= 'f');
	switch (set) {
	case SET_WORD:
		return c == '_';
	case SET_URL:
		return c == '_' || c == '-';
	case SET_DOTS:
		return c == '_' || c == '-' || c == '.';
	case SET_PATH:
		return c == '_' || c == '-' || c == '/';
	case SET_BASE64:
		return memchr("_-./+=~", c, 7) != NULL;
	default:
		return false;
	}
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_quote(char c)
{
	return c == '"' || c == '\'' || c == '`';
}

static char
lower(char c)
{
	return is_upper(c) ? (char)(c | 0x20) : c;
}

/* Tokens that begin with what they are. */
struct token {
	char prefix[26];
	uint8_t kind, set;
	uint8_t min;	/* bytes behind the prefix */
	uint8_t exact;	/* 1: so many and no more */
	uint8_t shown;	/* 1: the prefix is no part of the secret */
};

static const struct token tokens[] = {
	{"ABIA", KIND_AWS_KEY, SET_UPPER, 16, 1, 0},
	{"ACCA", KIND_AWS_KEY, SET_UPPER, 16, 1, 0},
	{"AGE-SECRET-KEY-1", KIND_PRIVATE_KEY, SET_UPPER, 40, 0, 0},
	{"AIza", KIND_GOOGLE_KEY, SET_URL, 35, 0, 0},
	{"AKIA", KIND_AWS_KEY, SET_UPPER, 16, 1, 0},
	{"ASIA", KIND_AWS_KEY, SET_UPPER, 16, 1, 0},
	{"ATATT3", KIND_CLOUD_TOKEN, SET_BASE64, 50, 0, 0},
	{"GOCSPX-", KIND_GOOGLE_KEY, SET_URL, 24, 0, 0},
	{"NRAK-", KIND_CLOUD_TOKEN, SET_UPPER, 27, 0, 0},
	{"PMAK-", KIND_CLOUD_TOKEN, SET_URL, 30, 0, 0},
	{"SG.", KIND_CLOUD_TOKEN, SET_DOTS, 40, 0, 0},
	{"SK", KIND_CLOUD_TOKEN, SET_HEX, 32, 1, 0},
	{"dapi", KIND_CLOUD_TOKEN, SET_HEX, 32, 0, 0},
	{"dckr_pat_", KIND_CLOUD_TOKEN, SET_URL, 20, 0, 0},
	{"discord.com/api/webhooks/", KIND_WEBHOOK, SET_PATH, 20, 0, 1},
	{"doo_v1_", KIND_CLOUD_TOKEN, SET_HEX, 40, 0, 0},
	{"dop_v1_", KIND_CLOUD_TOKEN, SET_HEX, 40, 0, 0},
	{"gho_", KIND_GITHUB_TOKEN, SET_ALNUM, 30, 0, 0},
	{"ghp_", KIND_GITHUB_TOKEN, SET_ALNUM, 30, 0, 0},
	{"ghr_", KIND_GITHUB_TOKEN, SET_ALNUM, 30, 0, 0},
	{"ghs_", KIND_GITHUB_TOKEN, SET_ALNUM, 30, 0, 0},
	{"ghu_", KIND_GITHUB_TOKEN, SET_ALNUM, 30, 0, 0},
	{"github_pat_", KIND_GITHUB_TOKEN, SET_WORD, 30, 0, 0},
	{"glcbt-", KIND_GITLAB_TOKEN, SET_URL, 20, 0, 0},
	{"gldt-", KIND_GITLAB_TOKEN, SET_URL, 20, 0, 0},
	{"glpat-", KIND_GITLAB_TOKEN, SET_DOTS, 20, 0, 0},
	{"glptt-", KIND_GITLAB_TOKEN, SET_URL, 20, 0, 0},
	{"glrt-", KIND_GITLAB_TOKEN, SET_URL, 20, 0, 0},
	{"glsa_", KIND_CLOUD_TOKEN, SET_WORD, 32, 0, 0},
	{"hf_", KIND_AI_KEY, SET_ALNUM, 30, 0, 0},
	{"hooks.slack.com/services/", KIND_WEBHOOK, SET_PATH, 20, 0, 1},
	{"hvb.", KIND_CLOUD_TOKEN, SET_URL, 24, 0, 0},
	{"hvs.", KIND_CLOUD_TOKEN, SET_URL, 24, 0, 0},
	{"key-", KIND_CLOUD_TOKEN, SET_HEX, 32, 1, 0},
	{"lin_api_", KIND_CLOUD_TOKEN, SET_ALNUM, 32, 0, 0},
	{"npm_", KIND_NPM_TOKEN, SET_ALNUM, 36, 0, 0},
	{"ntn_", KIND_CLOUD_TOKEN, SET_ALNUM, 40, 0, 0},
	{"pypi-", KIND_PYPI_TOKEN, SET_URL, 50, 0, 0},
	{"rk_live_", KIND_STRIPE_KEY, SET_ALNUM, 16, 0, 0},
	{"rk_test_", KIND_STRIPE_KEY, SET_ALNUM, 16, 0, 0},
	{"rubygems_", KIND_CLOUD_TOKEN, SET_HEX, 40, 0, 0},
	{"secret_", KIND_CLOUD_TOKEN, SET_ALNUM, 43, 1, 0},
	{"shpat_", KIND_CLOUD_TOKEN, SET_HEX, 32, 0, 0},
	{"shpca_", KIND_CLOUD_TOKEN, SET_HEX, 32, 0, 0},
	{"shpss_", KIND_CLOUD_TOKEN, SET_HEX, 32, 0, 0},
	{"sk-ant-", KIND_AI_KEY, SET_URL, 20, 0, 0},
	{"sk-proj-", KIND_AI_KEY, SET_URL, 20, 0, 0},
	{"sk-", KIND_AI_KEY, SET_ALNUM, 40, 0, 0},
	{"sk_live_", KIND_STRIPE_KEY, SET_ALNUM, 16, 0, 0},
	{"sk_test_", KIND_STRIPE_KEY, SET_ALNUM, 16, 0, 0},
	{"sq0atp-", KIND_CLOUD_TOKEN, SET_URL, 22, 0, 0},
	{"whsec_", KIND_STRIPE_KEY, SET_ALNUM, 24, 0, 0},
	{"xapp-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0},
	{"xoxa-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0},
	{"xoxb-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0},
	{"xoxp-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0},
	{"xoxr-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0},
	{"xoxs-", KIND_SLACK_TOKEN, SET_URL, 16, 0, 0},
	{"ya29.", KIND_GOOGLE_KEY, SET_URL, 20, 0, 0},
};

/* Keys by their end, in small letters and with '_' for '-' and '.'. */
struct word {
	char end[22];
	uint8_t kind;
	uint8_t alone; /* 1: a word of its own, so that bypass is not pass */
};

static const struct word words[] = {
	{"password", KIND_PASSWORD, 0},
	{"passwd", KIND_PASSWORD, 0},
	{"passphrase", KIND_PASSWORD, 0},
	{"passwort", KIND_PASSWORD, 0},
	{"passcode", KIND_PASSWORD, 0},
	{"pass", KIND_PASSWORD, 1},
	{"pwd", KIND_PASSWORD, 1},
	{"secret", KIND_SECRET, 0},
	{"secrets", KIND_SECRET, 1},
	{"token", KIND_TOKEN, 0},
	{"accountkey", KIND_AZURE_KEY, 0},
	{"account_key", KIND_AZURE_KEY, 0},
	{"sharedaccesskey", KIND_AZURE_KEY, 0},
	{"sharedaccesssignature", KIND_AZURE_KEY, 0},
	{"apikey", KIND_KEY, 0},
	{"api_key", KIND_KEY, 0},
	{"access_key", KIND_KEY, 0},
	{"accesskey", KIND_KEY, 0},
	{"secret_key", KIND_KEY, 0},
	{"secretkey", KIND_KEY, 0},
	{"private_key", KIND_KEY, 0},
	{"privatekey", KIND_KEY, 0},
	{"signing_key", KIND_KEY, 0},
	{"encryption_key", KIND_KEY, 0},
	{"master_key", KIND_KEY, 0},
	{"auth_key", KIND_KEY, 0},
	{"credential", KIND_SECRET, 0},
	{"x_amz_signature", KIND_AWS_KEY, 0},
	{"authorization", KIND_AUTHORIZATION, 0},
	{"cookie", KIND_COOKIE, 1},
};

/* Options by which programs take a password. */
struct option {
	char program[14];
	char option[13];
	uint8_t glued;  /* 1: -pX, 2: -pX and -p X, 0: -p X */
	uint8_t after;  /* of the value, what follows this byte */
};

static const struct option options[] = {
	{"mysql", "-p", 1, 0},	    {"mysqldump", "-p", 1, 0},  {"mysqladmin", "-p", 1, 0},
	{"mysqlimport", "-p", 1, 0},  {"mysqlshow", "-p", 1, 0},  {"mariadb", "-p", 1, 0},
	{"mariadb-dump", "-p", 1, 0}, {"mariadb-admin", "-p", 1, 0}, {"7z", "-p", 1, 0},
	{"sshpass", "-p", 2, 0},      {"mongo", "-p", 0, 0},      {"mongosh", "-p", 0, 0},
	{"mongodump", "-p", 0, 0},    {"docker", "-p", 0, 0},     {"podman", "-p", 0, 0},
	{"curl", "-u", 2, ':'},	      {"curl", "--user", 0, ':'}, {"curl", "-U", 2, ':'},
	{"curl", "--proxy-user", 0, ':'},
	{"redis-cli", "-a", 0, 0},    {"ldapsearch", "-w", 2, 0}, {"ldapmodify", "-w", 2, 0},
	{"ldapadd", "-w", 2, 0},      {"smbclient", "-U", 2, '%'}, {"sqlcmd", "-P", 2, 0},
	{"bcp", "-P", 2, 0},	      {"zip", "-P", 2, 0},	  {"unzip", "-P", 2, 0},
	{"mosquitto_pub", "-P", 0, 0}, {"mosquitto_sub", "-P", 0, 0},
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static unsigned
n_own(const struct pyaudit_secrets *ctx)
{
	return ctx->own != NULL ? pyaudit_get32(ctx->own->n) : 0;
}

const char *
pyaudit_secret_kind(const struct pyaudit_secrets *ctx, unsigned kind)
{
	if (kind < N_KINDS)
		return kind_names[kind];
	return kind - N_KINDS < n_own(ctx) ? ctx->own->form[kind - N_KINDS].kind : "";
}

struct pyaudit_secrets
pyaudit_secrets_of(const struct pyaudit_event *event)
{
	return (struct pyaudit_secrets){.code = event->id == PYAUDIT_EV_COMPILE ||
						event->id == PYAUDIT_EV_CPYTHON_RUN_COMMAND,
					.name = event->id == PYAUDIT_EV_OS_PUTENV};
}

/* Is s[0..len) the key of a secret? */
static enum kind
kind_of_key(const char *s, size_t len)
{
	char key[KEY_MAX];
	const char *end;

	if (len > KEY_MAX) {
		s += len - KEY_MAX;
		len = KEY_MAX;
	}
	for (size_t i = 0; i < len; i++)
		key[i] = s[i] == '-' || s[i] == '.' ? '_' : lower(s[i]);
	end = key + len;
	for (size_t i = 0; i < LENGTH(words); i++) {
		size_t n = strlen(words[i].end);
		const char *before = s + len - n;

		if (n > len || memcmp(end - n, words[i].end, n) != 0)
			continue;
		if (words[i].alone && n < len &&
		    (is_digit(before[-1]) ||
		     (in_set(before[-1], SET_ALNUM) && (is_upper(before[-1]) || !is_upper(*before)))))
			continue;
		/* PWD and OLDPWD are directories; Pwd of a connection string is not. */
		if (words[i].kind == KIND_PASSWORD && n == 3 && n == len && is_upper(s[0]) &&
		    is_upper(s[1]))
			continue;
		return (enum kind)words[i].kind;
	}
	return KIND_NONE;
}

/* Is it a stand-in for a value that is somewhere else, or none at all? */
static bool
is_stand_in(const char *s, size_t len)
{
	static const char nothing[][10] = {"none", "null", "true", "false", "undefined", "nil"};
	size_t n = 0;

	if (len == 0)
		return true;
	for (size_t i = 0; i < LENGTH(nothing); i++)
		if (len == strlen(nothing[i])) {
			for (n = 0; n < len && lower(s[n]) == nothing[i][n];)
				n++;
			if (n == len)
				return true;
		}
	if (s[0] == '$' && len > 2 && s[1] == '{' && s[len - 1] == '}')
		return true;
	if ((s[0] == '<' && s[len - 1] == '>') || (s[0] == '{' && s[len - 1] == '}'))
		return true;
	for (n = s[0] == '$' || s[0] == '%'; n < len; n++)
		if (s[0] == '*' ? s[n] != '*' : !(is_upper(s[n]) || s[n] == '_'))
			break;
	if (n == len && (s[0] == '*' || (s[0] == '$' && len > 1)))
		return true;
	return len == 2 && s[0] == '%' && s[1] == 's';
}

static bool
found(struct pyaudit_secret *ret, size_t from, size_t to, enum kind kind)
{
	*ret = (struct pyaudit_secret){(uint32_t)from, (uint32_t)to, (uint8_t)kind};
	return true;
}

/* Where a word begins: not within a run of word characters, but behind an escape (\n, %3D). */
static bool
begins_word(const char *s, size_t at)
{
	if (at == 0 || !in_set(s[at - 1], SET_URL))
		return true;
	return (at >= 2 && s[at - 2] == '\\') || (at >= 3 && s[at - 3] == '%');
}

static bool
find_token(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	const char *s = text->s + at;
	size_t left = text->len - at;

	for (size_t i = 0; i < LENGTH(tokens); i++) {
		const struct token *t = &tokens[i];
		size_t n, end;

		if (t->prefix[0] != s[0])
			continue;
		n = strlen(t->prefix);
		if (n > left || memcmp(s, t->prefix, n) != 0)
			continue;
		for (end = n; end < left && in_set(s[end], (enum set)t->set);)
			end++;
		/* What is cut off counts as there. */
		if (end - n < t->min && !(end == left && (text->flags & PYAUDIT_VALUE_CUT) != 0))
			continue;
		if (t->exact && end - n != t->min && end != left)
			continue;
		if (t->exact && end - n > t->min)
			continue;
		return found(ret, at + (t->shown ? n : 0), at + end, (enum kind)t->kind);
	}
	return false;
}

/* Of the site's own. */
static bool
find_own(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at,
	 struct pyaudit_secret *ret)
{
	const char *s = text->s + at;
	size_t left = text->len - at;

	for (unsigned i = 0; i < n_own(ctx); i++) {
		const struct pyaudit_form *form = &ctx->own->form[i];
		size_t n = form->n_prefix, end;

		if (n > left || memcmp(s, form->prefix, n) != 0)
			continue;
		for (end = n; end < left && in_set(s[end], (enum set)form->set);)
			end++;
		if (end - n < form->min && !(end == left && (text->flags & PYAUDIT_VALUE_CUT) != 0))
			continue;
		return found(ret, at, at + end, (enum kind)(N_KINDS + i));
	}
	return false;
}

/* header.payload.signature, each base64url; the first two are JSON objects. */
static bool
find_jwt(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end = at, dots = 0;

	if (text->len - at < 8 || memcmp(s + at, "eyJ", 3) != 0)
		return false;
	for (; end < text->len && in_set(s[end], SET_DOTS); end++)
		dots += s[end] == '.';
	if (end - at < RUN_MIN || (dots < 2 && !(end == text->len && text->flags != 0)))
		return false;
	return found(ret, at, end, KIND_JWT);
}

/* -----BEGIN ... PRIVATE KEY----- to the end of its END line, or of the text. */
static bool
find_private_key(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ";
	const char *s = text->s + at, *line, *stop;
	size_t left = text->len - at;

	if (left < sizeof(begin) + 10 || memcmp(s, begin, sizeof(begin) - 1) != 0)
		return false;
	line = memchr(s, 'K', left < 64 ? left : 64); /* PRIVATE KEY: the K of KEY */
	while (line != NULL && memcmp(line - 8, "PRIVATE KEY", 8) != 0)
		line = memchr(line + 1, 'K', (left < 64 ? left : 64) - (size_t)(line + 1 - s));
	if (line == NULL)
		return false;
	stop = memmem(s, left, end, sizeof(end) - 1);
	if (stop == NULL)
		return found(ret, at, text->len, KIND_PRIVATE_KEY);
	stop += sizeof(end) - 1;
	while (stop < s + left && (in_set(*stop, SET_URL) || *stop == ' '))
		stop++;
	return found(ret, at, at + (size_t)(stop - s), KIND_PRIVATE_KEY);
}

/* scheme://user:password@host, at the colon. */
static bool
find_userinfo(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t colon = 0, sign = 0;

	if (text->len - at < 6 || s[at + 1] != '/' || s[at + 2] != '/')
		return false;
	for (size_t i = at + 3; i < text->len; i++) {
		if (is_blank(s[i]) || is_quote(s[i]) || memchr("/?#<>", s[i], 5) != NULL)
			break;
		if (s[i] == ':' && colon == 0 && sign == 0)
			colon = i;
		if (s[i] == '@')
			sign = i;
	}
	if (colon == 0 || sign <= colon + 1 || is_stand_in(s + colon + 1, sign - colon - 1))
		return false;
	return found(ret, colon + 1, sign, KIND_URL_PASSWORD);
}

/* From the opening quote at @at: where its text ends. */
static size_t
quoted_end(const struct pyaudit_value *text, size_t at)
{
	char quote = text->s[at];

	for (at++; at < text->len && text->s[at] != quote; at++)
		if (text->s[at] == '\\')
			at++;
	return at < text->len ? at : text->len;
}

/* The value that stands at @at, behind the key of a secret. */
static bool
find_value(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at, bool whole,
	   bool in_string, enum kind kind, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end, prefix = at;

	for (unsigned n = 0; n < BLANKS_MAX && at < text->len && is_blank(s[at]); n++)
		at++;
	for (prefix = at; prefix < text->len && prefix < at + 2 && is_lower(lower(s[prefix]));)
		prefix++;
	if (at < text->len && s[at] == '\\' && at + 1 < text->len && is_quote(s[at + 1]))
		at++; /* JSON within a text */
	if (prefix < text->len && is_quote(s[prefix]) && !whole)
		at = prefix;
	if (at < text->len && is_quote(s[at])) {
		end = quoted_end(text, at);
		at++;
		if (end > at && s[end - 1] == '\\' && end < text->len)
			end--;
	} else if (ctx->code && !in_string) {
		return false;
	} else if (kind == KIND_AUTHORIZATION || kind == KIND_COOKIE) {
		for (end = at; end < text->len && s[end] != '\r' && s[end] != '\n' && !is_quote(s[end]);)
			end++;
	} else if (whole) {
		end = text->len;
	} else {
		for (end = at; end < text->len && !is_blank(s[end]) && !is_quote(s[end]) &&
			       memchr(";&,)}]|\\", s[end], 8) == NULL;)
			end++;
		if (end < text->len && s[end] == '}' && (s[at] == '$' || s[at] == '{'))
			end++;
	}
	if (kind == KIND_AUTHORIZATION) { /* the scheme may be seen */
		size_t scheme = at;

		while (scheme < end && (in_set(s[scheme], SET_URL)))
			scheme++;
		if (scheme < end && s[scheme] == ' ')
			at = scheme + 1;
	}
	if (end > text->len || end <= at || is_stand_in(s + at, end - at))
		return false;
	return found(ret, at, end, kind);
}

/* At '=' or ':': is the key before it that of a secret? */
static bool
find_assignment(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at,
		bool in_string, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end = at, start;
	enum kind kind;
	bool whole;

	while (end > 0 && at - end < 4 && (is_blank(s[end - 1]) || is_quote(s[end - 1]) ||
					   s[end - 1] == ']' || s[end - 1] == '\\'))
		end--;
	for (start = end; start > 0 && end - start < KEY_MAX && in_set(s[start - 1], SET_DOTS);)
		start--;
	kind = kind_of_key(s + start, end - start);
	if (kind == KIND_NONE || end == start)
		return false;
	if ((s[at] == ':' || s[at] == '=') && at + 1 < text->len && s[at + 1] == '=')
		at++;
	if (at + 1 < text->len && s[at + 1] == '/' && s[at] == ':')
		return false; /* secret://... is a place */
	whole = ctx->word && start == 0 && s[at] == '=';
	return find_value(ctx, text, at + 1, whole, in_string, kind, ret);
}

/* Bearer X, where X is long enough to be one. */
static bool
find_bearer(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	static const char word[] = "bearer ";
	const char *s = text->s + at;
	size_t n = sizeof(word) - 1, end;

	if (text->len - at < n + RUN_MIN || lower(s[0]) != 'b')
		return false;
	for (size_t i = 1; i < n; i++)
		if (lower(s[i]) != word[i])
			return false;
	for (end = n; end < text->len - at && in_set(s[end], SET_BASE64);)
		end++;
	return end - n >= RUN_MIN && found(ret, at + n, at + end, KIND_AUTHORIZATION);
}

static bool
is_separator(char c)
{
	return is_blank(c) || is_quote(c) || memchr(";|&(),[]", c, 8) != NULL;
}

static size_t
word_end(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at)
{
	while (at < text->len && !(ctx->word ? is_blank(text->s[at]) : is_separator(text->s[at])))
		at++;
	return at;
}

static bool
is_word(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(s, word, len) == 0;
}

static uint8_t
program_of(const char *s, size_t len)
{
	const char *slash = memrchr(s, '/', len);

	if (slash != NULL) {
		len -= (size_t)(slash + 1 - s);
		s = slash + 1;
	}
	for (size_t i = 0; i < LENGTH(options); i++)
		if (is_word(s, len, options[i].program))
			return (uint8_t)(i + 1);
	return 0;
}

/* Of s[at..end), what the option's value hides. */
static bool
take_part(const struct pyaudit_value *text, size_t at, size_t end, uint8_t after, enum kind kind,
	  struct pyaudit_secret *ret)
{
	const char *sign = after != 0 ? memchr(text->s + at, after, end - at) : NULL;

	if (after != 0 && sign == NULL)
		return false;
	if (sign != NULL)
		at = (size_t)(sign + 1 - text->s);
	return at < end && !is_stand_in(text->s + at, end - at) && found(ret, at, end, kind);
}

/* The word behind the option that ends at @at: in this text, or the next of the list. */
static bool
find_operand(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at, uint8_t after,
	     enum kind kind, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end;

	if (at == text->len) {
		ctx->next = ctx->word ? (uint8_t)kind : 0;
		ctx->after = after;
		return false;
	}
	if (is_quote(s[at])) { /* "--password", "x" in code */
		at++;
		while (at < text->len && (s[at] == ',' || is_blank(s[at])))
			at++;
		if (at >= text->len || !is_quote(s[at]))
			return false;
	} else if (!is_blank(s[at])) {
		return false;
	}
	while (at < text->len && is_blank(s[at]))
		at++;
	if (at == text->len || s[at] == '-')
		return false;
	if (is_quote(s[at])) {
		end = quoted_end(text, at);
		at++;
		if (at < text->len && s[at] == '-')
			return false;
	} else {
		for (end = at; end < text->len && !is_blank(s[end]) && !is_quote(s[end]) &&
			       memchr(";|&", s[end], 3) == NULL;)
			end++;
	}
	return end > at && take_part(text, at, end, after, kind, ret);
}

/* A word that begins with '-'. */
static bool
find_option(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at,
	    struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end = word_end(ctx, text, at), name = at;
	const char *program = ctx->program != 0 ? options[ctx->program - 1].program : NULL;
	enum kind kind;

	for (size_t i = ctx->program; program != NULL && i > 0 && i <= LENGTH(options); i++) {
		const struct option *o = &options[i - 1];
		size_t n = strlen(o->option);

		if (strcmp(o->program, program) != 0)
			break;
		if (end - at < n || memcmp(s + at, o->option, n) != 0)
			continue;
		if (end - at == n && o->glued != 1)
			return find_operand(ctx, text, end, o->after, KIND_PASSWORD, ret);
		if (end - at > n && o->glued != 0)
			return take_part(text, at + n, end, o->after, KIND_PASSWORD, ret);
	}
	while (name < end && s[name] == '-')
		name++;
	if (memchr(s + name, '=', end - name) != NULL || name == end)
		return false;
	kind = kind_of_key(s + name, end - name);
	if (kind == KIND_NONE)
		return false;
	return find_operand(ctx, text, end, 0, kind, ret);
}

/* PASS x of FTP and POP, as a whole line. */
static bool
find_pass_line(const struct pyaudit_value *text, struct pyaudit_secret *ret)
{
	size_t end = text->len;

	if (text->len < 6 || memcmp(text->s, "PASS ", 5) != 0)
		return false;
	while (end > 5 && is_blank(text->s[end - 1]))
		end--;
	return found(ret, 5, end, KIND_PASSWORD);
}

bool
pyaudit_secret_next(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, uint32_t at,
		    struct pyaudit_secret *ret)
{
	const char *s = text->s;
	char in_string = 0;

	if (at == 0 && ctx->next != 0) {
		enum kind kind = (enum kind)ctx->next;

		ctx->next = 0;
		if (take_part(text, 0, text->len, ctx->after, kind, ret))
			return true;
	}
	if (at == 0 && find_pass_line(text, ret))
		return true;
	for (size_t i = at; i < text->len; i++) {
		bool begins = begins_word(s, i);

		if (ctx->code && is_quote(s[i]) && (i == 0 || s[i - 1] != '\\'))
			in_string = in_string == 0 ? s[i] : in_string == s[i] ? 0 : in_string;
		if (s[i] == '\n' || s[i] == ';' || s[i] == '|')
			ctx->program = 0;
		if (s[i] == '=' || s[i] == ':') {
			if (s[i] == ':' && find_userinfo(text, i, ret))
				return true;
			if (find_assignment(ctx, text, i, in_string != 0, ret) && ret->from >= i)
				return true;
		}
		if (!begins)
			continue;
		if (ctx->own != NULL && find_own(ctx, text, i, ret))
			return true;
		if (find_token(text, i, ret) || find_jwt(text, i, ret) || find_bearer(text, i, ret))
			return true;
		if (s[i] == '-' && find_private_key(text, i, ret))
			return true;
		if (i > 0 && !(ctx->word ? is_blank(s[i - 1]) : is_separator(s[i - 1])))
			continue;
		if (s[i] == '-' && find_option(ctx, text, i, ret))
			return true;
		if (in_set(s[i], SET_ALNUM) || s[i] == '/' || s[i] == '.') {
			uint8_t program = program_of(s + i, word_end(ctx, text, i) - i);

			if (program != 0)
				ctx->program = program;
		}
	}
	return false;
}

#if defined(__SSE2__)
/* Bits of 16 bytes: word characters; signs that may make a value; '-'. */
static inline void
classify(const char *s, unsigned *ret_word, unsigned *ret_sign, unsigned *ret_dash)
{
	const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)s);
	const __m128i low = _mm_or_si128(v, _mm_set1_epi8(0x20));
	const __m128i letter = _mm_sub_epi8(low, _mm_set1_epi8('a'));
	const __m128i digit = _mm_sub_epi8(v, _mm_set1_epi8('0'));
	const __m128i dash = _mm_cmpeq_epi8(v, _mm_set1_epi8('-'));
	const __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(25)), letter);
	const __m128i is_number = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
	const __m128i line = _mm_cmpeq_epi8(v, _mm_set1_epi8('_'));
	/* ':' and '=' differ by three bits; '8' to '?' that are both are few. */
	const __m128i sign = _mm_or_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('=')),
					  _mm_cmpeq_epi8(v, _mm_set1_epi8(':')));

	*ret_word = (unsigned)_mm_movemask_epi8(
		_mm_or_si128(_mm_or_si128(is_letter, is_number), _mm_or_si128(line, dash)));
	*ret_sign = (unsigned)_mm_movemask_epi8(sign);
	*ret_dash = (unsigned)_mm_movemask_epi8(dash);
}
#else
static inline void
classify(const char *s, unsigned *ret_word, unsigned *ret_sign, unsigned *ret_dash)
{
	*ret_word = *ret_sign = *ret_dash = 0;
	for (unsigned i = 0; i < 16; i++) {
		*ret_word |= (unsigned)in_set(s[i], SET_URL) << i;
		*ret_sign |= (unsigned)(s[i] == '=' || s[i] == ':') << i;
		*ret_dash |= (unsigned)(s[i] == '-') << i;
	}
}
#endif

bool
pyaudit_secret_likely(struct pyaudit_secrets *ctx, const struct pyaudit_value *text)
{
	uint64_t runs = 0; /* of word characters: this block's bits above those of the one before */

	/* Once for a text, which may be looked at twice: to measure and to write. */
	ctx->own = atomic_load_explicit(&own_forms, memory_order_acquire);
	if (ctx->name) {
		ctx->name = false;
		ctx->next = (uint8_t)kind_of_key(text->s, text->len);
		ctx->after = 0;
		return false;
	}
	if (ctx->next != 0 || ctx->program != 0 || (text->flags & PYAUDIT_VALUE_CUT) != 0)
		return true;
	if (ctx->word)
		ctx->program = program_of(text->s, text->len);
	if (text->len > 5 && memcmp(text->s, "PASS ", 5) == 0)
		return true;
	for (uint32_t at = 0; at < text->len; at += 16) {
		unsigned word, sign, dash;
		char tail[16] = {0};
		uint64_t x;

		if (text->len - at >= 16) {
			classify(text->s + at, &word, &sign, &dash);
		} else {
			memcpy(tail, text->s + at, text->len - at);
			classify(tail, &word, &sign, &dash);
		}
		runs = runs >> 16 | (uint64_t)word << 16;
		x = runs & runs >> 1;
		x &= x >> 2;
		x &= x >> 4;
		x &= x >> 8;
		/* A '-' behind no word character begins an option. */
		if ((x | sign | (dash & ~(unsigned)(runs >> 15))) != 0)
			return true;
	}
	return false;
}

static uint64_t
replaced_kinds(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text)
{
	static const char mark[] = "<redacted:";
	const char *at = text->s, *end = text->s + text->len;
	uint64_t kinds = 0;

	for (; (at = memmem(at, (size_t)(end - at), mark, sizeof(mark) - 1)) != NULL;) {
		at += sizeof(mark) - 1;
		for (unsigned kind = 1; kind < N_KINDS + n_own(ctx); kind++) {
			const char *name = pyaudit_secret_kind(ctx, kind);
			size_t n = strlen(name);

			if ((size_t)(end - at) > n && at[n] == '>' && memcmp(at, name, n) == 0)
				kinds |= UINT64_C(1) << kind;
		}
	}
	return kinds;
}

uint64_t
pyaudit_secret_kinds(struct pyaudit_secrets *ctx, const struct pyaudit_value *text)
{
	bool likely = pyaudit_secret_likely(ctx, text);
	uint64_t kinds = text->len > 0 ? replaced_kinds(ctx, text) : 0;
	struct pyaudit_secret secret;
	uint32_t at = 0;

	if (!likely)
		return kinds;
	while (pyaudit_secret_next(ctx, text, at, &secret)) {
		kinds |= UINT64_C(1) << secret.kind;
		at = secret.to;
	}
	return kinds;
}

size_t
pyaudit_redact(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, char *out, size_t size)
{
	struct pyaudit_secret secret;
	size_t n = 0;
	uint32_t at = 0;

	for (bool more = true; more;) {
		const char *parts[4] = {text->s + at, "<redacted:", "", ">"};
		size_t lengths[4] = {0, 10, 0, 1};

		more = pyaudit_secret_next(ctx, text, at, &secret);
		lengths[0] = (more ? secret.from : text->len) - at;
		if (more) {
			parts[2] = pyaudit_secret_kind(ctx, secret.kind);
			lengths[2] = strlen(parts[2]);
			at = secret.to;
		}
		for (unsigned i = 0; i < (more ? 4 : 1); n += lengths[i], i++)
			if (n < size)
				memcpy(out + n, parts[i], lengths[i] < size - n ? lengths[i] : size - n);
	}
	return n;
}
