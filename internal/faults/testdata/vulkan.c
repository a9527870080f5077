// A Vulkan loader that stands before the real one and makes calls fail. It hands out
// wrappers of a few functions; which call of them fails, and how, stands in a file that
// the test and this library share (faults.go), so that faults can be set at any time, from
// any process, and outlive the process that they end.
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

typedef void (*function)(void);

// The kinds of calls, as in faults.go.
enum { SUBMIT, ALLOCATE, WAIT, STATE, MAP, PIPELINE, OBJECT, COMMANDS, DEVICE, KINDS };

typedef struct {
	int32_t calls, fired; // how many there were, how many failed
	int32_t after;        // the call that fails, counted from 1 and down; 0: none
	int32_t again;        // what after becomes then
	int32_t result;       // VkResult
} rule;

static rule *rules;

static int fails(int kind) {
	rule *r = &rules[kind];
	__atomic_add_fetch(&r->calls, 1, __ATOMIC_SEQ_CST);
	if (r->after <= 0 || __atomic_sub_fetch(&r->after, 1, __ATOMIC_SEQ_CST) != 0) {
		return 0;
	}
	__atomic_add_fetch(&r->fired, 1, __ATOMIC_SEQ_CST);
	r->after = r->again;
	return 1;
}

// wrapper defines the wrapper of a function, and where the function itself is kept.
#define wrapper(kind, name, parameters, arguments)                                     \
	static int32_t (*real_##name) parameters;                                          \
	static int32_t my_##name parameters {                                              \
		return fails(kind) ? rules[kind].result : real_##name arguments;               \
	}

#define maker(kind, name) \
	wrapper(kind, name, (void *d, void *info, void *more, void *out), (d, info, more, out))

wrapper(SUBMIT, vkQueueSubmit, (void *q, uint32_t n, void *list, uint64_t fence), (q, n, list, fence))
wrapper(ALLOCATE, vkAllocateMemory, (void *d, void *info, void *callbacks, uint64_t *out), (d, info, callbacks, out))
wrapper(WAIT, vkWaitForFences, (void *d, uint32_t n, uint64_t *list, uint32_t all, uint64_t ns), (d, n, list, all, ns))
wrapper(WAIT, vkWaitSemaphores, (void *d, void *info, uint64_t ns), (d, info, ns))
wrapper(STATE, vkGetFenceStatus, (void *d, uint64_t fence), (d, fence))
wrapper(STATE, vkGetSemaphoreCounterValue, (void *d, uint64_t s, uint64_t *value), (d, s, value))
wrapper(MAP, vkMapMemory, (void *d, uint64_t m, uint64_t at, uint64_t n, uint32_t flags, void **out), (d, m, at, n, flags, out))
wrapper(PIPELINE, vkCreateComputePipelines, (void *d, uint64_t cache, uint32_t n, void *list, void *callbacks, uint64_t *out), (d, cache, n, list, callbacks, out))
wrapper(DEVICE, vkCreateDevice, (void *p, void *info, void *callbacks, void **out), (p, info, callbacks, out))
maker(OBJECT, vkCreateBuffer)
maker(OBJECT, vkCreateShaderModule)
maker(OBJECT, vkCreateDescriptorSetLayout)
maker(OBJECT, vkCreatePipelineLayout)
maker(OBJECT, vkCreateDescriptorPool)
maker(OBJECT, vkAllocateDescriptorSets)
maker(COMMANDS, vkCreateCommandPool)
maker(COMMANDS, vkAllocateCommandBuffers)
maker(COMMANDS, vkBeginCommandBuffer)
maker(COMMANDS, vkEndCommandBuffer)

static struct {
	const char *name;
	function mine, *real;
} table[] = {
#define entry(name) {#name, (function)my_##name, (function *)&real_##name}
	entry(vkQueueSubmit), entry(vkAllocateMemory), entry(vkWaitForFences), entry(vkWaitSemaphores), entry(vkGetFenceStatus),
	entry(vkGetSemaphoreCounterValue), entry(vkMapMemory), entry(vkCreateComputePipelines), entry(vkCreateDevice),
	entry(vkCreateBuffer), entry(vkCreateShaderModule), entry(vkCreateDescriptorSetLayout), entry(vkCreatePipelineLayout),
	entry(vkCreateDescriptorPool), entry(vkAllocateDescriptorSets), entry(vkCreateCommandPool), entry(vkAllocateCommandBuffers),
	entry(vkBeginCommandBuffer), entry(vkEndCommandBuffer),
};

// wrapped keeps a function that the real loader has found, and returns its wrapper. Some
// have the names of the extensions that they come from.
static function wrapped(const char *name, function found) {
	size_t n = strlen(name);
	if (n > 3 && !strcmp(name + n - 3, "KHR")) {
		n -= 3;
	}
	for (size_t i = 0; found && i < sizeof table / sizeof *table; i++) {
		if (strlen(table[i].name) == n && !strncmp(table[i].name, name, n)) {
			*table[i].real = found;
			return table[i].mine;
		}
	}
	return found;
}

static function (*of_instance)(void *, const char *);
static function (*of_device)(void *, const char *);

function vkGetDeviceProcAddr(void *device, const char *name) { return wrapped(name, of_device(device, name)); }

function vkGetInstanceProcAddr(void *instance, const char *name) {
	function found = of_instance(instance, name);
	if (!strcmp(name, "vkGetDeviceProcAddr") && found) {
		of_device = (function(*)(void *, const char *))found;
		return (function)vkGetDeviceProcAddr;
	}
	return wrapped(name, found);
}

__attribute__((constructor)) static void start(void) {
	static rule none[KINDS];
	const char *name = getenv("GPUPEFT_FAULTS");
	int file = name ? open(name, O_RDWR) : -1;
	rules = none;
	if (file >= 0) {
		void *shared = mmap(NULL, sizeof none, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
		rules = shared == MAP_FAILED ? none : shared;
	}
	void *loader = dlopen(LOADER, RTLD_NOW);
	of_instance = loader ? (function(*)(void *, const char *))dlsym(loader, "vkGetInstanceProcAddr") : NULL;
	if (!of_instance) {
		abort();
	}
}
