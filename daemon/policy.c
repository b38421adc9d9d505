/* SPDX-License-Identifier: Apache-2.0 */
#include "policy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "clock.h"
#include "compile.h"
#include "replace.h"
#include "secrets.h"
#include "unit_rules.h"
#include "verdict.h"
#include "pyaudit/ring.h"
#include "pyaudit/wire.h"

#define DEFAULT_DIRS 3 /* shipped, profile, the host's */

void
policy_init(struct policy *policy)
{
	*policy = (struct policy){.memfd = -1};
}

void
policy_fini(struct policy *policy)
{
	for (unsigned i = 0; i < POLICY_KEPT_MAX; i++)
		rules_free(policy->kept[i].rules);
	if (policy->memfd >= 0)
		(void)close(policy->memfd);
	mode_fini(&policy->mode);
	earlier_fini(&policy->earlier);
	policy_init(policy);
}

/* share/pyaudit/NAME beside the directory that the program is in, or NULL. */
static char *
installed(const char *name)
{
	char exe[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *path;

	if (n <= 0)
		return NULL;
	exe[n] = 0;
	for (unsigned i = 0; i < 2; i++) {
		char *slash = strrchr(exe, '/');

		if (slash == NULL)
			return NULL;
		*slash = 0;
	}
	return asprintf(&path, "%s/share/pyaudit/%s", exe, name) > 0 ? path : NULL;
}

/* The profile's file, between the shipped rules and the host's own; NULL: it has none. */
static int
find_profile(char **ret, const struct conf *conf, const char *profile, struct log *log)
{
	char name[64];

	if (strcmp(profile, conf_profiles[0]) == 0)
		return 0;
	if (!conf->default_rules) {
		log_error(log, "rules: the profile %s stands on the shipped rules, and default_rules = no "
			       "leaves them out", profile);
		return -EINVAL;
	}
	(void)snprintf(name, sizeof(name), "profiles/%s.json", profile);
	*ret = installed(name);
	if (*ret != NULL && access(*ret, R_OK) == 0)
		return 0;
	log_error(log, "rules: cannot read the profile %s: %s", *ret != NULL ? *ret : name,
		  strerror(errno));
	return -ENOENT;
}

/* The files of profiles: of the first the rules are read, of the others what they call lists and macros, which
 * the host's rules may name. */
struct profiles {
	char *files[UNIT_RULES_PROFILES_MAX];
	size_t n;
};

static void
profiles_fini(struct profiles *profiles)
{
	for (size_t i = 0; i < profiles->n; i++)
		free(profiles->files[i]);
}

static int
find_profiles(struct profiles *ret, const struct conf *conf, unsigned first, unsigned wanted, struct log *log)
{
	int r = 0;

	for (unsigned i = 0; r == 0 && i <= UNIT_RULES_PROFILES_MAX; i++) {
		unsigned at = i == 0 ? first : i - 1;

		if ((wanted >> at & 1) != 0 && (i == 0 || at != first))
			r = find_profile(&ret->files[ret->n++], conf, conf_profiles[at], log);
	}
	return r;
}

/* The rules of the host if it had that profile. */
static int
load_profile(struct rule_set **ret, const struct conf *conf, unsigned first, unsigned wanted,
	     struct diag *diag, struct log *log)
{
	CLEANUP(freep) char *shipped = installed("rules.d");
	CLEANUP(profiles_fini) struct profiles profiles = {0};
	const char *paths[CONF_RULES_MAX + DEFAULT_DIRS], *names_of[UNIT_RULES_PROFILES_MAX];
	const char *profile;
	size_t n_paths = 0, n_names_of = 0;
	int r = find_profiles(&profiles, conf, first, wanted, log);

	if (r < 0)
		return r;
	profile = profiles.files[0];
	for (size_t i = 1; i < profiles.n; i++)
		if (profiles.files[i] != NULL)
			names_of[n_names_of++] = profiles.files[i];
	if (conf->default_rules) {
		if (shipped != NULL && access(shipped, F_OK) == 0)
			paths[n_paths++] = shipped;
		if (profile != NULL)
			paths[n_paths++] = profile;
		if (access(POLICY_ETC_RULES, F_OK) == 0)
			paths[n_paths++] = POLICY_ETC_RULES;
	}
	for (size_t i = 0; i < conf->n_rules; i++) {
		if (access(conf->rules[i], R_OK) < 0) {
			r = -errno;
			log_error(log, "rules: cannot read %s: %s", conf->rules[i], strerror(-r));
			return r;
		}
		paths[n_paths++] = conf->rules[i];
	}
	r = rules_load_naming(ret, paths, n_paths, names_of, n_names_of, diag);
	if (r < 0)
		log_error(log, "rules: cannot read: %s", strerror(-r));
	return r;
}

static int
load_rules(struct rule_set **ret, const struct conf *conf, struct diag *diag, struct log *log)
{
	CLEANUP(unit_rules_fini) struct unit_rules rules = {0};
	unsigned wanted = unit_rules_wanted(conf), host = unit_rules_profile(conf->profile);
	int r = load_profile(&rules.sets[host], conf, host, wanted, diag, log);

	for (unsigned i = 0; r == 0 && i < UNIT_RULES_PROFILES_MAX; i++) {
		struct diag again; /* what is said of the rules once is enough */

		if (i == host || (wanted >> i & 1) == 0)
			continue;
		diag_init(&again);
		r = load_profile(&rules.sets[i], conf, i, wanted, &again, log);
		diag_fini(&again);
		if (r == RULES_E_INVALID)
			r = load_profile(&rules.sets[i], conf, i, wanted, diag, log);
	}
	return r == 0 ? unit_rules_join(ret, &rules, conf) : r;
}

/* Microseconds stay below 2^53, so that JSON readers with doubles keep them whole. */
static uint64_t
next_generation(uint64_t earlier)
{
	uint64_t now = clock_ns(CLOCK_REALTIME) / 1000;

	/* A wild number in the file must not make ours wild. */
	if (earlier >= now && earlier < (uint64_t)1 << 52)
		return earlier + 1;
	return now;
}

/* It is replaced, never changed: agents may be reading it. */
static int
publish_file(const char *path, char *bytes, size_t size)
{
	return replace_file(path, 0644, &(struct iovec){bytes, size}, 1);
}

static int
publish_memfd(int *ret_fd, const struct image *image)
{
	CLEANUP(closep) int fd = memfd_create("pyaudit-policy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int r;

	if (fd < 0)
		return -errno;
	r = write_all(fd, image->bytes, image->size);
	if (r < 0)
		return r;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* Its rules are not known any more. */
static void
let_go(struct policy *policy, unsigned at)
{
	struct rule_set *rules = policy->kept[at].rules;

	if (rules == NULL)
		return;
	if (policy->forget != NULL)
		policy->forget(policy->data, rules);
	rules_free(rules);
	policy->kept[at].rules = NULL;
	policy->kept[at].generation = 0;
}

/* Of the generation that so many have come after. */
static unsigned
place_of(const struct policy *policy, unsigned age)
{
	return (policy->newest + POLICY_KEPT_MAX - age) % POLICY_KEPT_MAX;
}

void
policy_prune(struct policy *policy)
{
	uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
	size_t n_rules = 0;

	for (unsigned i = 0; i < policy->n_kept; i++) {
		unsigned at = place_of(policy, i);

		if (policy->kept[at].rules == NULL)
			continue;
		n_rules += policy->kept[at].rules->n_rules;
		if (i >= POLICY_KEPT &&
		    (n_rules > POLICY_KEPT_RULES || now_ns - policy->kept[at].replaced_ns >
							     POLICY_KEPT_MS * UINT64_C(1000000)))
			let_go(policy, at);
	}
	while (policy->n_kept > 1 && policy->kept[place_of(policy, policy->n_kept - 1)].rules == NULL)
		policy->n_kept--;
}

static void
keep(struct policy *policy, struct rule_set *rules, const struct compile_options *options)
{
	rules_share_counts(rules, policy->kept[policy->newest].rules);
	policy->kept[policy->newest].replaced_ns = clock_ns(CLOCK_MONOTONIC);
	policy->newest = (policy->newest + 1) % POLICY_KEPT_MAX;
	let_go(policy, policy->newest);
	policy->n_kept += policy->n_kept < POLICY_KEPT_MAX;
	policy->kept[policy->newest].generation = options->generation;
	pyaudit_secrets_use(rules->forms);
	policy->kept[policy->newest].rules = rules;
	policy->kept[policy->newest].options = *options;
	policy->kept[policy->newest].replaced_ns = 0;
	policy->generation = options->generation;
	policy_prune(policy);
}

/* Tells the daemons to come what the rules are called. */
static void
publish_names(const struct policy *policy, const char *path, const struct image *image, struct log *log)
{
	struct buf text;
	int r;

	buf_init(&text);
	earlier_text(&policy->earlier, image->bytes, &text);
	r = text.failed ? -ENOMEM : publish_file(path, text.data, text.len);
	if (r < 0)
		log_warning(log, "policy: cannot write %s: %s", path, strerror(-r));
	buf_fini(&text);
}

/* How often the usual lane is doubled until it has that many bytes. */
static unsigned
ring_shift(size_t size)
{
	unsigned shift = 0;

	while (((size_t)PYAUDIT_LANE_ORDINARY_DEFAULT << shift) < size)
		shift++;
	return shift;
}

int
policy_load(struct policy *policy, const struct conf *conf, struct diag *diag, struct log *log)
{
	CLEANUP(rules_freep) struct rule_set *rules = NULL;
	CLEANUP(freep) char *path = NULL;
	CLEANUP(freep) char *names = NULL;
	CLEANUP(closep) int memfd = -1;
	struct compile_options options = {
		.observe = conf->n_unit_profiles > 0 ? conf->observe : conf_observes(conf),
		.record = conf->record,
		.record_all = conf->record_all,
		.context = conf->context,
		.context_all = conf->context_all,
		.flags = (conf->follow == CONF_FOLLOW_NONE  ? PYAUDIT_IMAGE_STAY
			  : conf->follow == CONF_FOLLOW_ALL ? PYAUDIT_IMAGE_FOLLOW_ALL
							    : 0) |
			 ring_shift(conf->ring) << PYAUDIT_IMAGE_RING_SHIFT,
		.tells_exceptions = true,
	};
	struct image image = {0};
	int r;

	if (asprintf(&path, "%s/%s", conf->dir, PYAUDIT_POLICY_FILE) < 0 ||
	    asprintf(&names, "%s/%s", conf->dir, EARLIER_FILE) < 0)
		return -ENOMEM;
	r = load_rules(&rules, conf, diag, log);
	if (r != 0)
		return r;
	r = mode_apply(&policy->mode, rules, &options);
	if (r < 0)
		return r;
	if (policy->generation == 0)
		earlier_read(&policy->earlier, names);
	options.generation = next_generation(
		policy->generation != 0 ? policy->generation : earlier_newest(&policy->earlier));
	r = compile_rules(&image, rules, &options, diag);
	if (r != 0) {
		if (r < 0)
			log_error(log, "rules: cannot compile: %s", strerror(-r));
		return r;
	}
	r = publish_memfd(&memfd, &image);
	if (r == 0)
		publish_names(policy, names, &image, log);
	if (r == 0)
		r = publish_file(path, image.bytes, image.size);
	if (r < 0)
		log_error(log, "policy: cannot write %s: %s", path, strerror(-r));
	policy->size = r == 0 ? image.size : policy->size;
	if (r == 0)
		earlier_note(&policy->earlier, image.bytes, rules);
	image_fini(&image);
	if (r < 0)
		return r;

	keep(policy, TAKE_PTR(rules), &options);
	if (policy->memfd >= 0)
		(void)close(policy->memfd);
	policy->memfd = TAKE_FD(memfd);
	return 0;
}

void
policy_judge(const struct policy *policy, const struct pyaudit_facts *facts,
	     struct pyaudit_event *event, struct pyaudit_verdict *ret)
{
	/* Such events are rare: the image is mapped for one alone. */
	void *image = policy->memfd >= 0 ? mmap(NULL, policy->size, PROT_READ, MAP_SHARED,
						policy->memfd, 0)
					 : MAP_FAILED;
	const struct pyaudit_slot *slot;
	struct pyaudit_proc_bits bits;

	*ret = (struct pyaudit_verdict){0};
	if (image == MAP_FAILED)
		return;
	slot = pyaudit_image_slot(image, event->name);
	if ((slot->flags & PYAUDIT_SLOT_JUDGE) != 0) {
		pyaudit_image_bind(image, facts, &bits);
		pyaudit_judge(image, slot, &bits, event, ret);
	}
	(void)munmap(image, policy->size);
}

/* Its place among those kept, or POLICY_KEPT_MAX. */
static unsigned
find_generation(const struct policy *policy, uint64_t generation)
{
	for (unsigned i = 0; i < policy->n_kept; i++) {
		unsigned at = place_of(policy, i);

		if (policy->kept[at].generation == generation && generation != 0)
			return at;
	}
	return POLICY_KEPT_MAX;
}

const struct rule_set *
policy_rules(const struct policy *policy, uint64_t generation)
{
	unsigned at = find_generation(policy, generation);

	return at < POLICY_KEPT_MAX ? policy->kept[at].rules : NULL;
}

const struct rule_set *
policy_attribute(const struct policy *policy, struct pyaudit_decoded *decoded)
{
	const struct rule_set *rules = policy_rules(policy, decoded->generation);

	if (rules == NULL && earlier_translate(&policy->earlier, decoded))
		rules = policy->earlier.rules;
	return rules;
}

bool
policy_waits(const struct policy *policy)
{
	return policy->kept[policy->newest].rules->has_ack;
}

bool
policy_options(const struct policy *policy, uint64_t generation, struct compile_options *ret)
{
	unsigned at = find_generation(policy, generation);

	if (at < POLICY_KEPT_MAX)
		*ret = policy->kept[at].options;
	return at < POLICY_KEPT_MAX;
}
