-- The tables of 03 · 1 as another program makes them in the database that we share: columns and keys in the order of
-- that page, with the server's own engine, character set and collation.

CREATE TABLE `workspaces` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(256) NOT NULL,
  `org_id` varchar(256) NOT NULL,
  `name` varchar(256) NOT NULL,
  `slug` varchar(64) NOT NULL,
  `k8s_namespace` varchar(256),
  `partition_id` varchar(256),
  `plan` enum('free','pro','enterprise') DEFAULT 'free',
  `tier` varchar(256) DEFAULT 'Free',
  `stripe_customer_id` varchar(256),
  `stripe_subscription_id` varchar(256),
  `beta_features` json NOT NULL,
  `features` json NOT NULL,
  `subscriptions` json,
  `enabled` boolean NOT NULL DEFAULT true,
  `delete_protection` boolean DEFAULT false,
  `created_at_m` bigint NOT NULL DEFAULT 0,
  `updated_at_m` bigint,
  `deleted_at_m` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `workspaces_id_unique` (`id`),
  UNIQUE KEY `workspaces_org_id_unique` (`org_id`),
  UNIQUE KEY `workspaces_slug_unique` (`slug`),
  UNIQUE KEY `workspaces_k8s_namespace_unique` (`k8s_namespace`)
);

CREATE TABLE `quota` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `workspace_id` varchar(256) NOT NULL,
  `requests_per_month` bigint NOT NULL DEFAULT 0,
  `logs_retention_days` int NOT NULL DEFAULT 0,
  `audit_logs_retention_days` int NOT NULL DEFAULT 0,
  `team` boolean NOT NULL DEFAULT false,
  `ratelimit_api_limit` int unsigned,
  `ratelimit_api_duration` int unsigned,
  `allocated_cpu_millicores_total` int unsigned NOT NULL DEFAULT 10240,
  `allocated_memory_mib_total` int unsigned NOT NULL DEFAULT 20480,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `quota_workspace_id_unique` (`workspace_id`)
);

CREATE TABLE `projects` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(64) NOT NULL,
  `workspace_id` varchar(256) NOT NULL,
  `name` varchar(256) NOT NULL,
  `slug` varchar(256) NOT NULL,
  `depot_project_id` varchar(255),
  `delete_protection` boolean DEFAULT false,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `projects_id_unique` (`id`),
  UNIQUE KEY `workspace_slug_idx` (`workspace_id`, `slug`)
);

CREATE TABLE `apps` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(64) NOT NULL,
  `workspace_id` varchar(256) NOT NULL,
  `project_id` varchar(64) NOT NULL,
  `name` varchar(256) NOT NULL,
  `slug` varchar(256) NOT NULL,
  `default_branch` varchar(256) NOT NULL DEFAULT 'main',
  `current_deployment_id` varchar(256),
  `is_rolled_back` boolean NOT NULL DEFAULT false,
  `delete_protection` boolean DEFAULT false,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `apps_id_unique` (`id`),
  UNIQUE KEY `apps_project_slug_idx` (`project_id`, `slug`),
  KEY `apps_workspace_idx` (`workspace_id`)
);

CREATE TABLE `environments` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(128) NOT NULL,
  `workspace_id` varchar(256) NOT NULL,
  `project_id` varchar(256) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `slug` varchar(256) NOT NULL,
  `description` varchar(255) NOT NULL DEFAULT '',
  `delete_protection` boolean DEFAULT false,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `environments_id_unique` (`id`),
  UNIQUE KEY `environments_app_slug_idx` (`app_id`, `slug`),
  KEY `environments_project_idx` (`project_id`)
);

CREATE TABLE `app_build_settings` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `workspace_id` varchar(256) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `environment_id` varchar(128) NOT NULL,
  `dockerfile` varchar(500) NOT NULL DEFAULT 'Dockerfile',
  `docker_context` varchar(500) NOT NULL DEFAULT '.',
  `watch_paths` json NOT NULL DEFAULT ('[]'),
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `app_build_settings_app_env_idx` (`app_id`, `environment_id`)
);

CREATE TABLE `app_runtime_settings` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `workspace_id` varchar(256) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `environment_id` varchar(128) NOT NULL,
  `port` int NOT NULL DEFAULT 8080,
  `cpu_millicores` int NOT NULL DEFAULT 256,
  `memory_mib` int NOT NULL DEFAULT 256,
  `command` json NOT NULL DEFAULT ('[]'),
  `healthcheck` json,
  `shutdown_signal` enum('SIGTERM','SIGINT','SIGQUIT','SIGKILL') NOT NULL DEFAULT 'SIGTERM',
  `sentinel_config` longblob NOT NULL,
  `openapi_spec_path` varchar(512),
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `app_runtime_settings_app_env_idx` (`app_id`, `environment_id`)
);

CREATE TABLE `app_regional_settings` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `workspace_id` varchar(256) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `environment_id` varchar(128) NOT NULL,
  `region_id` varchar(64) NOT NULL,
  `replicas` int NOT NULL DEFAULT 1,
  `horizontal_autoscaling_policy_id` varchar(64),
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `unique_app_env_region` (`app_id`, `environment_id`, `region_id`),
  KEY `workspace_idx` (`workspace_id`)
);

CREATE TABLE `deployments` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(128) NOT NULL,
  `k8s_name` varchar(255) NOT NULL,
  `workspace_id` varchar(256) NOT NULL,
  `project_id` varchar(256) NOT NULL,
  `environment_id` varchar(128) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `image` varchar(256),
  `build_id` varchar(128),
  `git_commit_sha` varchar(40),
  `git_branch` varchar(256),
  `git_commit_message` text,
  `git_commit_author_handle` varchar(256),
  `git_commit_author_avatar_url` varchar(512),
  `git_commit_timestamp` bigint,
  `sentinel_config` longblob NOT NULL,
  `cpu_millicores` int NOT NULL,
  `memory_mib` int NOT NULL,
  `desired_state` enum('running','standby','archived') NOT NULL DEFAULT 'running',
  `encrypted_environment_variables` longblob NOT NULL,
  `command` json NOT NULL DEFAULT ('[]'),
  `port` int NOT NULL DEFAULT 8080,
  `shutdown_signal` enum('SIGTERM','SIGINT','SIGQUIT','SIGKILL') NOT NULL DEFAULT 'SIGTERM',
  `healthcheck` json,
  `pr_number` bigint,
  `fork_repository_full_name` varchar(256),
  `github_deployment_id` bigint,
  `status` enum('pending','starting','building','deploying','network','finalizing','ready','failed','skipped','awaiting_approval') NOT NULL DEFAULT 'pending',
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `deployments_id_unique` (`id`),
  UNIQUE KEY `deployments_k8s_name_unique` (`k8s_name`),
  UNIQUE KEY `deployments_build_id_unique` (`build_id`),
  KEY `workspace_idx` (`workspace_id`),
  KEY `project_idx` (`project_id`),
  KEY `status_idx` (`status`)
);

CREATE TABLE `deployment_steps` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `workspace_id` varchar(128) NOT NULL,
  `project_id` varchar(128) NOT NULL,
  `environment_id` varchar(128) NOT NULL,
  `deployment_id` varchar(128) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `step` enum('queued','starting','building','deploying','network','finalizing') NOT NULL DEFAULT 'queued',
  `started_at` bigint unsigned NOT NULL,
  `ended_at` bigint unsigned,
  `error` varchar(512),
  PRIMARY KEY (`pk`),
  UNIQUE KEY `unique_step_per_deployment` (`deployment_id`, `step`),
  KEY `workspace_idx` (`workspace_id`)
);

CREATE TABLE `deployment_topology` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `workspace_id` varchar(64) NOT NULL,
  `deployment_id` varchar(64) NOT NULL,
  `region_id` varchar(64) NOT NULL,
  `desired_replicas` int NOT NULL,
  `version` bigint unsigned NOT NULL,
  `desired_status` enum('stopped','running') NOT NULL,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `unique_region_per_deployment` (`deployment_id`, `region_id`),
  UNIQUE KEY `unique_version_per_region` (`region_id`, `version`),
  KEY `workspace_idx` (`workspace_id`),
  KEY `status_idx` (`desired_status`)
);

CREATE TABLE `instances` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(64) NOT NULL,
  `deployment_id` varchar(255) NOT NULL,
  `workspace_id` varchar(255) NOT NULL,
  `project_id` varchar(255) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `region_id` varchar(64) NOT NULL,
  `k8s_name` varchar(255) NOT NULL,
  `address` varchar(255) NOT NULL,
  `cpu_millicores` int NOT NULL,
  `memory_mib` int NOT NULL,
  `status` enum('inactive','pending','running','failed') NOT NULL,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `instances_id_unique` (`id`),
  UNIQUE KEY `unique_address_per_region` (`address`, `region_id`),
  UNIQUE KEY `unique_k8s_name_per_region` (`k8s_name`, `region_id`),
  KEY `idx_deployment_id` (`deployment_id`),
  KEY `idx_region` (`region_id`)
);

CREATE TABLE `regions` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(64) NOT NULL,
  `name` varchar(64) NOT NULL,
  `platform` varchar(64) NOT NULL,
  `can_schedule` boolean NOT NULL DEFAULT true,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `regions_id_unique` (`id`),
  UNIQUE KEY `unique_region_per_platform` (`name`, `platform`)
);

CREATE TABLE `sentinels` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(64) NOT NULL,
  `workspace_id` varchar(255) NOT NULL,
  `project_id` varchar(255) NOT NULL,
  `environment_id` varchar(255) NOT NULL,
  `k8s_name` varchar(64) NOT NULL,
  `k8s_address` varchar(255) NOT NULL,
  `region_id` varchar(255) NOT NULL,
  `image` varchar(255) NOT NULL,
  `desired_state` enum('running','standby','archived') NOT NULL DEFAULT 'running',
  `health` enum('unknown','paused','healthy','unhealthy') NOT NULL DEFAULT 'unknown',
  `desired_replicas` int NOT NULL,
  `available_replicas` int NOT NULL,
  `cpu_millicores` int NOT NULL,
  `memory_mib` int NOT NULL,
  `version` bigint unsigned NOT NULL,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `sentinels_id_unique` (`id`),
  UNIQUE KEY `sentinels_k8s_name_unique` (`k8s_name`),
  UNIQUE KEY `sentinels_k8s_address_unique` (`k8s_address`),
  UNIQUE KEY `one_env_per_region` (`environment_id`, `region_id`),
  UNIQUE KEY `unique_version_per_region` (`region_id`, `version`),
  KEY `idx_environment_health_region_routing` (`environment_id`, `region_id`, `health`)
);

CREATE TABLE `cilium_network_policies` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(64) NOT NULL,
  `workspace_id` varchar(255) NOT NULL,
  `project_id` varchar(255) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `environment_id` varchar(255) NOT NULL,
  `deployment_id` varchar(128) NOT NULL,
  `k8s_name` varchar(64) NOT NULL,
  `k8s_namespace` varchar(255) NOT NULL,
  `region_id` varchar(64) NOT NULL,
  `policy` json NOT NULL,
  `version` bigint unsigned NOT NULL,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `cilium_network_policies_id_unique` (`id`),
  UNIQUE KEY `unique_version_per_region` (`region_id`, `version`),
  KEY `idx_deployment_region` (`deployment_id`, `region_id`)
);

CREATE TABLE `frontline_routes` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(128) NOT NULL,
  `project_id` varchar(255) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `deployment_id` varchar(255) NOT NULL,
  `environment_id` varchar(255) NOT NULL,
  `fully_qualified_domain_name` varchar(256) NOT NULL,
  `sticky` enum('none','branch','environment','live','deployment') NOT NULL DEFAULT 'none',
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `frontline_routes_id_unique` (`id`),
  UNIQUE KEY `frontline_routes_fully_qualified_domain_name_unique` (`fully_qualified_domain_name`),
  KEY `environment_id_idx` (`environment_id`),
  KEY `deployment_id_idx` (`deployment_id`),
  KEY `fqdn_environment_deployment_idx` (`fully_qualified_domain_name`, `environment_id`, `deployment_id`)
);

CREATE TABLE `github_repo_connections` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `project_id` varchar(64) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `installation_id` bigint NOT NULL,
  `repository_id` bigint NOT NULL,
  `repository_full_name` varchar(500) NOT NULL,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `github_repo_connections_app_id_unique` (`app_id`),
  KEY `installation_id_idx` (`installation_id`)
);

CREATE TABLE `openapi_specs` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(128) NOT NULL,
  `workspace_id` varchar(256) NOT NULL,
  `deployment_id` varchar(128),
  `portal_config_id` varchar(256),
  `content` longblob NOT NULL,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `openapi_specs_id_unique` (`id`),
  UNIQUE KEY `workspace_deployment_idx` (`workspace_id`, `deployment_id`),
  UNIQUE KEY `workspace_portal_config_idx` (`workspace_id`, `portal_config_id`)
);

CREATE TABLE `clusters` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(64) NOT NULL,
  `region_id` varchar(64) NOT NULL,
  `last_heartbeat_at` bigint unsigned NOT NULL,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `clusters_id_unique` (`id`),
  UNIQUE KEY `clusters_region_id_unique` (`region_id`)
);

CREATE TABLE `horizontal_autoscaling_policies` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(64) NOT NULL,
  `workspace_id` varchar(256) NOT NULL,
  `replicas_min` int NOT NULL,
  `replicas_max` int NOT NULL,
  `memory_threshold` tinyint,
  `cpu_threshold` tinyint,
  `rps_threshold` tinyint,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `horizontal_autoscaling_policies_id_unique` (`id`),
  KEY `workspace_idx` (`workspace_id`)
);

CREATE TABLE `app_environment_variables` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(128) NOT NULL,
  `workspace_id` varchar(256) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `environment_id` varchar(128) NOT NULL,
  `key` varchar(256) NOT NULL,
  `value` varchar(4096) NOT NULL,
  `type` enum('recoverable','writeonly') NOT NULL,
  `description` varchar(255),
  `delete_protection` boolean DEFAULT false,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `app_environment_variables_id_unique` (`id`),
  UNIQUE KEY `app_env_id_key` (`app_id`, `environment_id`, `key`)
);

CREATE TABLE `custom_domains` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `id` varchar(128) NOT NULL,
  `workspace_id` varchar(256) NOT NULL,
  `project_id` varchar(256) NOT NULL,
  `app_id` varchar(64) NOT NULL,
  `environment_id` varchar(256) NOT NULL,
  `domain` varchar(256) NOT NULL,
  `challenge_type` enum('HTTP-01','DNS-01') NOT NULL,
  `verification_status` enum('pending','verifying','verified','failed') NOT NULL DEFAULT 'pending',
  `verification_token` varchar(64) NOT NULL,
  `ownership_verified` boolean NOT NULL DEFAULT false,
  `cname_verified` boolean NOT NULL DEFAULT false,
  `target_cname` varchar(256) NOT NULL,
  `last_checked_at` bigint,
  `check_attempts` int NOT NULL DEFAULT 0,
  `verification_error` varchar(512),
  `invocation_id` varchar(256),
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `custom_domains_id_unique` (`id`),
  UNIQUE KEY `custom_domains_target_cname_unique` (`target_cname`),
  UNIQUE KEY `unique_domain_idx` (`domain`),
  KEY `workspace_idx` (`workspace_id`),
  KEY `project_idx` (`project_id`),
  KEY `verification_status_idx` (`verification_status`)
);

CREATE TABLE `github_app_installations` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `workspace_id` varchar(256) NOT NULL,
  `installation_id` bigint NOT NULL,
  `created_at` bigint NOT NULL,
  `updated_at` bigint,
  PRIMARY KEY (`pk`),
  UNIQUE KEY `workspace_installation_idx` (`workspace_id`, `installation_id`)
);

-- What an installation has besides: an index and a column that came later, and a table of a program of its own.

ALTER TABLE `deployments` ADD KEY `created_at_idx` (`created_at`);
ALTER TABLE `apps` ADD COLUMN `icon` varchar(64);
CREATE TABLE `certificates` (
  `pk` bigint unsigned NOT NULL AUTO_INCREMENT,
  `hostname` varchar(255) NOT NULL,
  `workspace_id` varchar(256) NOT NULL,
  `certificate` text NOT NULL,
  PRIMARY KEY (`pk`),
  CONSTRAINT `certificates_workspace` FOREIGN KEY (`workspace_id`) REFERENCES `workspaces` (`id`)
);
