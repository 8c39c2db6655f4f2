package temporalserver

import (
	"time"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
)

// clusterName is stored in the state and cannot be changed later.
const clusterName = "active"

// settings are the dynamic configuration, by key. Fairness stays off (the backlog is in Postgres, not in task queues)
// and so does concurrency within a shard: with it the server lost wake-ups under load.
var settings = map[string]any{
	// The default of 20 polls a second and shard makes each hop of a workflow wait up to 50 ms.
	"history.transferProcessorMaxPollRPS":   2000,
	"history.timerProcessorMaxPollRPS":      2000,
	"history.visibilityProcessorMaxPollRPS": 2000,
	"history.outboundProcessorMaxPollRPS":   2000,
	// Timers fire up to this late; the default second guards against clock skew between nodes, of which there are none.
	"history.timerProcessorMaxTimeShift": 50 * time.Millisecond,
	// Caps a lost wake-up of a waiting client, which else stalls for 20 s.
	"history.longPollExpirationInterval": 5 * time.Second,
	// One partition keeps the order of priorities exact.
	"matching.numTaskqueueReadPartitions":  1,
	"matching.numTaskqueueWritePartitions": 1,
	// The default of 10 a second is less than a page of the UI and a test beside it ask for.
	"frontend.namespaceRPS.visibility": 200,
	// A search attribute works as soon as it is added, not a minute later.
	"system.forceSearchAttributesCacheRefreshOnRead": true,
	// Operators pause workflows and standalone activities.
	"frontend.WorkflowPauseEnabled":                    true,
	"frontend.WorkerHeartbeatsEnabled":                 true,
	"history.enableStandaloneActivityOperatorCommands": true,
	"frontend.persistenceMaxQPS":                       10_000,
	"history.persistenceMaxQPS":                        45_000,
	// Workflows here are short and small: the default of 128,000 cached ones would be memory for nothing.
	"history.hostLevelCacheMaxSize": 8192,
}

func dynamicConfig() dynamicconfig.StaticClient {
	values := make(dynamicconfig.StaticClient, len(settings))
	for key, value := range settings {
		values[dynamicconfig.MakeKey(key)] = value
	}
	return values
}

// configure describes one node with all four services on loopback. ports are those of the services behind the front end.
func configure(store *storage, shards int32, frontend int, ports []int) (*config.Config, map[primitives.ServiceName]static.Hosts) {
	services := map[primitives.ServiceName]int{
		primitives.FrontendService: frontend,
		primitives.HistoryService:  ports[0],
		primitives.MatchingService: ports[1],
		primitives.WorkerService:   ports[2],
	}
	cfg := &config.Config{
		Persistence: config.Persistence{
			DefaultStore: "default", VisibilityStore: "visibility", NumHistoryShards: shards,
			DataStores: map[string]config.DataStore{"default": {SQL: store.main}, "visibility": {SQL: store.visibility}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10, MasterClusterName: clusterName, CurrentClusterName: clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: address(frontend)},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services:            map[string]config.Service{},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchival{State: config.ArchivalDisabled},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: config.ArchivalDisabled},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: config.ArchivalDisabled},
		}},
		PublicClient: config.PublicClient{HostPort: address(frontend)},
	}
	hosts := map[primitives.ServiceName]static.Hosts{}
	for name, port := range services {
		cfg.Services[string(name)] = config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: "127.0.0.1"}}
		hosts[name] = static.SingleLocalHost(address(port))
	}
	return cfg, hosts
}
