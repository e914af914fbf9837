/* Compiles a profile with libseccomp, as runc does: reads lines, writes the program in binary to the descriptor 3 and what
 * one has to know about it to stdout. A development-only oracle for tests/seccomp/oracle.rs.
 *
 *   D action                                    the default action, which comes first
 *   A name                                      an architecture of the filter
 *   R action name count {index op value two}    a rule; the operators' numbers are those of enum scmp_compare
 *
 *   U name                                      libseccomp does not know this call
 *   L architecture number                       the largest number that a rule names
 */
#include <errno.h>
#include <inttypes.h>
#include <seccomp.h>
#include <stdio.h>
#include <string.h>

#define DIE(what, code) return fprintf(stderr, "%s: %s\n", what, strerror(-(code))), 1
#define ARCHITECTURES 8

static char names[ARCHITECTURES][16];
static uint32_t tokens[ARCHITECTURES];
static long largest[ARCHITECTURES];
static int count;

static int add_rule(scmp_filter_ctx filter, uint32_t fallback) {
	char name[64];
	uint32_t action;
	unsigned arguments;
	struct scmp_arg_cmp compared[6];
	if (scanf("%" SCNu32 " %63s %u", &action, name, &arguments) != 3 || arguments > 6)
		DIE("damaged rule", -EINVAL);
	for (unsigned i = 0; i < arguments; i++) {
		unsigned index, operation;
		uint64_t value, two;
		if (scanf("%u %u %" SCNu64 " %" SCNu64, &index, &operation, &value, &two) != 4)
			DIE("damaged condition", -EINVAL);
		compared[i] = (struct scmp_arg_cmp){ index, operation, value, two };
	}
	int call = seccomp_syscall_resolve_name(name);
	if (call == __NR_SCMP_ERROR)
		return printf("U %s\n", name) < 0;
	for (int i = 0; i < count; i++) {
		long number = seccomp_syscall_resolve_name_arch(tokens[i], name);
		/* ARM's private calls are far above the others. */
		if (number > largest[i] && (number & 0x3fffffff) < 0xf0000)
			largest[i] = number;
	}
	if (action == fallback)
		return 0;
	int result = seccomp_rule_add_array(filter, action, call, arguments, compared);
	if (result < 0 && result != -EEXIST)
		DIE(name, result);
	return 0;
}

int main(void) {
	char kind;
	uint32_t fallback;
	scmp_filter_ctx filter = NULL;
	int native = 0, result;
	while (scanf(" %c", &kind) == 1) {
		if (kind == 'D') {
			if (scanf("%" SCNu32, &fallback) != 1 || !(filter = seccomp_init(fallback)))
				DIE("seccomp_init", -EINVAL);
			if ((result = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS)) < 0)
				DIE("seccomp_attr_set", result);
		} else if (kind == 'A' && count < ARCHITECTURES) {
			if (scanf("%15s", names[count]) != 1 || !(tokens[count] = seccomp_arch_resolve_name(names[count])))
				DIE("unknown architecture", -EINVAL);
			native |= tokens[count] == seccomp_arch_native();
			if ((result = seccomp_arch_add(filter, tokens[count])) < 0 && result != -EEXIST)
				DIE(names[count], result);
			largest[count++] = -1;
		} else if (kind == 'R') {
			if (!native && (result = seccomp_arch_remove(filter, seccomp_arch_native())) < 0 && result != -EEXIST)
				DIE("seccomp_arch_remove", result);
			if (add_rule(filter, fallback))
				return 1;
		} else {
			DIE("damaged line", -EINVAL);
		}
	}
	for (int i = 0; i < count; i++)
		printf("L %s %ld\n", names[i], largest[i]);
	if ((result = seccomp_export_bpf(filter, 3)) < 0)
		DIE("seccomp_export_bpf", result);
	return 0;
}
