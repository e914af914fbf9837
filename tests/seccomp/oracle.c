/* Compiles a profile with libseccomp, as runc and crun do: reads lines, writes the program in binary to the descriptor 3
 * and what one has to know about it to stdout. Development only: the oracle of tests/seccomp/oracle.rs, and the peer of
 * `tests/bench/run seccomp`.
 *
 *   D action                                    the default action, which comes first
 *   A name                                      an architecture of the filter
 *   R action name count {index op value two}    a rule; the operators' numbers are those of enum scmp_compare
 *
 *   T nanoseconds                               what libseccomp took, from seccomp_init to the end of the export
 *   U name                                      libseccomp does not know this call
 *   L architecture number                       the largest number that a rule names
 */
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DIE(what, code) return fprintf(stderr, "%s: %s\n", what, strerror(-(code))), 1
#define ARCHITECTURES 8
#define RULES 16384

struct rule {
	uint32_t action;
	char name[64];
	unsigned arguments;
	struct scmp_arg_cmp compared[6];
};

static char names[ARCHITECTURES][16];
static uint32_t tokens[ARCHITECTURES];
static struct rule rules[RULES];
static int architectures, count;
static uint32_t fallback;

static int read_rule(struct rule *rule) {
	if (scanf("%" SCNu32 " %63s %u", &rule->action, rule->name, &rule->arguments) != 3 || rule->arguments > 6)
		DIE("damaged rule", -EINVAL);
	for (unsigned i = 0; i < rule->arguments; i++) {
		unsigned index, operation;
		uint64_t value, two;
		if (scanf("%u %u %" SCNu64 " %" SCNu64, &index, &operation, &value, &two) != 4)
			DIE("damaged condition", -EINVAL);
		rule->compared[i] = (struct scmp_arg_cmp){ index, operation, value, two };
	}
	return 0;
}

static int read_lines(void) {
	char kind;
	while (scanf(" %c", &kind) == 1) {
		if (kind == 'D' && scanf("%" SCNu32, &fallback) == 1)
			continue;
		if (kind == 'A' && architectures < ARCHITECTURES && scanf("%15s", names[architectures]) == 1)
			architectures++;
		else if (kind != 'R' || count == RULES || read_rule(&rules[count++]))
			DIE("damaged line", -EINVAL);
	}
	return 0;
}

static int compile(void) {
	int native = 0, result;
	scmp_filter_ctx filter = seccomp_init(fallback);
	if (!filter)
		DIE("seccomp_init", -EINVAL);
	if ((result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)) < 0)
		DIE("seccomp_attr_set", result);
	for (int i = 0; i < architectures; i++) {
		if (!(tokens[i] = seccomp_arch_resolve_name(names[i])))
			DIE("unknown architecture", -EINVAL);
		native |= tokens[i] == seccomp_arch_native();
		if ((result = seccomp_arch_add(filter, tokens[i])) < 0 && result != -EEXIST)
			DIE(names[i], result);
	}
	if (!native && (result = seccomp_arch_remove(filter, seccomp_arch_native())) < 0 && result != -EEXIST)
		DIE("seccomp_arch_remove", result);
	for (const struct rule *rule = rules; rule < rules + count; rule++) {
		if (rule->action == fallback)
			continue;
		int call = seccomp_syscall_resolve_name(rule->name);
		if (call == __NR_SCMP_ERROR)
			continue;
		result = seccomp_rule_add_array(filter, rule->action, call, rule->arguments, rule->compared);
		if (result < 0 && result != -EEXIST)
			DIE(rule->name, result);
	}
	if ((result = seccomp_export_bpf(filter, 3)) < 0)
		DIE("seccomp_export_bpf", result);
	return 0;
}

static int64_t now(void) {
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int main(void) {
	if (read_lines())
		return 1;
	int64_t begin = now();
	if (compile())
		return 1;
	printf("T %" PRId64 "\n", now() - begin);
	for (const struct rule *rule = rules; rule < rules + count; rule++)
		if (seccomp_syscall_resolve_name(rule->name) == __NR_SCMP_ERROR)
			printf("U %s\n", rule->name);
	for (int i = 0; i < architectures; i++) {
		long largest = -1;
		for (const struct rule *rule = rules; rule < rules + count; rule++) {
			long number = seccomp_syscall_resolve_name_arch(tokens[i], rule->name);
			/* ARM's private calls are far above the others. */
			if (number > largest && (number & 0x3fffffff) < 0xf0000)
				largest = number;
		}
		printf("L %s %ld\n", names[i], largest);
	}
	return 0;
}
