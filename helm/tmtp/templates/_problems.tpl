{{/*
What cannot work together, all of it at once and in words. One line per problem.
*/}}

{{- define "postern.problems" -}}
{{- include "postern.problems.stores" . }}
{{- include "postern.problems.certificate" . }}
{{- include "postern.problems.bootstrap" . }}
{{- include "postern.problems.gateway" . }}
{{- include "postern.problems.worker" . }}
{{- include "postern.problems.web" . }}
{{- include "postern.problems.config" . }}
{{- end }}

{{- define "postern.problems.stores" -}}
{{- range $name := list "postgres" "redis" }}
{{- $secret := (get $.Values $name).existingSecret }}
{{- if and $secret $.Values.trial.enabled }}
{{ $name }}.existingSecret and trial.enabled: a trial brings its own {{ $name }}; leave one of the two out
{{- else if not (or $secret $.Values.trial.enabled) }}
{{ $name }}.existingSecret is empty: name a Secret with the URL of your {{ $name }}, or set trial.enabled for a try
{{- end }}
{{- if and (get $.Values $name).tlsSecret $.Values.trial.enabled }}
{{ $name }}.tlsSecret and trial.enabled: a trial's own {{ $name }} has no TLS; leave one of the two out
{{- end }}
{{- end }}
{{- with .Values.bodies }}
{{- if and (eq .kind "s3") (not .s3.bucket) }}
bodies.kind is s3, but bodies.s3.bucket is empty
{{- end }}
{{- if and (ne .kind "s3") (or .s3.bucket .s3.endpoint .s3.accessKey .s3.existingSecret .s3.accountAnnotations) }}
bodies.s3 is set, but bodies.kind is {{ .kind }}: it would be ignored
{{- end }}
{{- if and .s3.accessKey .s3.accountAnnotations }}
bodies.s3.accessKey and bodies.s3.accountAnnotations: the credentials come from one of them
{{- end }}
{{- if ne (empty .s3.accessKey) (empty .s3.existingSecret) }}
bodies.s3.accessKey and bodies.s3.existingSecret must be given together, or neither for the platform's own credentials
{{- end }}
{{- end }}
{{- end }}

{{- define "postern.problems.certificate" -}}
{{- with .Values.certificate }}
{{- if and .existingSecret .certManager.enabled }}
certificate.existingSecret and certificate.certManager.enabled: the certificate comes from one of them
{{- else if not (or .existingSecret .certManager.enabled $.Values.trial.enabled) }}
there is no certificate: set certificate.existingSecret or certificate.certManager.enabled
{{- end }}
{{- if .certManager.enabled }}
{{- if not .certManager.issuer.name }}
certificate.certManager.issuer.name is empty: who makes the certificate?
{{- end }}
{{- if not (or .certManager.dnsNames $.Values.bootstrap.site.domains) }}
certificate.certManager.dnsNames is empty, and bootstrap.site.domains too: what should the certificate be for?
{{- end }}
{{- else if or .certManager.issuer.name .certManager.dnsNames }}
certificate.certManager is set, but not enabled: it would be ignored
{{- end }}
{{- end }}
{{- end }}

{{- define "postern.problems.bootstrap" -}}
{{- with .Values.bootstrap }}
{{- if ne (empty .site.name) (empty .site.domains) }}
bootstrap.site.name and bootstrap.site.domains must be given together
{{- end }}
{{- if and .site.domains (hasPrefix "*." (first .site.domains)) }}
bootstrap.site.domains begins with a wildcard: put a name first that clients can be told
{{- end }}
{{- if and (not .enabled) .site.domains }}
bootstrap.site is named, but bootstrap.enabled is false: nobody would make it
{{- end }}
{{- end }}
{{- end }}

{{- define "postern.problems.gateway" -}}
{{- with .Values.gateway }}
{{- if and .proxyProtocol.enabled (not .proxyProtocol.trusted) }}
gateway.proxyProtocol.trusted is empty: from which addresses may the header come?
{{- else if and (not .proxyProtocol.enabled) .proxyProtocol.trusted }}
gateway.proxyProtocol.trusted is set, but gateway.proxyProtocol.enabled is false: it would be ignored
{{- end }}
{{- if ne .service.type "LoadBalancer" }}
{{- if or .service.loadBalancerClass .service.loadBalancerSourceRanges }}
gateway.service.loadBalancerClass and loadBalancerSourceRanges need gateway.service.type LoadBalancer, not {{ .service.type }}
{{- end }}
{{- end }}
{{- if and .autoscaling.enabled (gt (int .autoscaling.minReplicas) (int .autoscaling.maxReplicas)) }}
gateway.autoscaling.minReplicas is more than maxReplicas
{{- end }}
{{- end }}
{{- end }}

{{- define "postern.problems.worker" -}}
{{- with .Values.worker.autoscaling }}
{{- if .enabled }}
{{- if gt (int .minReplicas) (int .maxReplicas) }}
worker.autoscaling.minReplicas is more than maxReplicas
{{- end }}
{{- if gt (int .maxReplicas) (int $.Values.migration.shards) }}
worker.autoscaling.maxReplicas is more than migration.shards: the rest would have nothing to do
{{- end }}
{{- if not .prometheusUrl }}
worker.autoscaling.prometheusUrl is empty: KEDA asks Prometheus what waits
{{- end }}
{{- end }}
{{- end }}
{{- if and (not .Values.worker.autoscaling.enabled) (gt (int .Values.worker.replicas) (int .Values.migration.shards)) }}
worker.replicas is more than migration.shards: the rest would have nothing to do
{{- end }}
{{- end }}

{{- define "postern.problems.web" -}}
{{- $web := or .Values.admin.ingress.enabled .Values.admin.route.enabled }}
{{- with .Values.admin }}
{{- if and .ingress.enabled .route.enabled }}
admin.ingress.enabled and admin.route.enabled: one way in is enough
{{- end }}
{{- if and $web (not (or .api.host .public.url)) }}
admin.api.host and admin.public.url are empty: for which host is the {{ ternary "Ingress" "HTTPRoute" .ingress.enabled }}?
{{- end }}
{{- if and .api.host (not $web) }}
admin.api.host is set, but neither admin.ingress.enabled nor admin.route.enabled: nothing would serve it
{{- end }}
{{- if and .api.host (eq .api.host (include "postern.publicHost" $)) }}
admin.api.host and admin.public.url have the same host: paths of the two would mix
{{- end }}
{{- if and .route.enabled (not .route.parentRefs) }}
admin.route.parentRefs is empty: to which Gateway does the HTTPRoute belong?
{{- end }}
{{- end }}
{{- with .Values.networkPolicy }}
{{- if and .enabled $web (not .webFrom) }}
networkPolicy.webFrom is empty: name the pods of the ingress controller or Gateway, which has to reach the admin servers
{{- end }}
{{- if and .enabled $.Values.monitoring.serviceMonitors.enabled (not .monitoringFrom) }}
networkPolicy.monitoringFrom is empty: name the pods of Prometheus, which has to read the metrics
{{- end }}
{{- end }}
{{- end }}

{{/* Settings that follow from other values, and the value to change instead. */}}
{{- define "postern.ownSettings" -}}
gateway:
  redis: redis.existingSecret
  listen.address: gateway.service.port
  listen.drain_over: gateway.drainSeconds
  runtime.shutdown_grace: gateway.drainSeconds
  monitor: nothing; the port is fixed
  tls.certificates: certificate
  secrets: sealingKey
  proxy_protocol.trusted: gateway.proxyProtocol
  sign_in.public_url: admin.public.url
  sign_in.keys_url: admin.public.url
  bodies.kind: bodies.kind
  bodies.s3.endpoint: bodies.s3
  bodies.s3.region: bodies.s3
  bodies.s3.bucket: bodies.s3
  bodies.s3.prefix: bodies.s3
  bodies.s3.access_key: bodies.s3
  bodies.s3.secret_key: bodies.s3
  bodies.postgres.url: postgres.existingSecret
worker:
  redis: redis.existingSecret
  postgres.url: postgres.existingSecret
  runtime.shutdown_grace: worker.drainSeconds
  monitor: nothing; the port is fixed
  bodies.kind: bodies.kind
  bodies.s3.endpoint: bodies.s3
  bodies.s3.region: bodies.s3
  bodies.s3.bucket: bodies.s3
  bodies.s3.prefix: bodies.s3
  bodies.s3.access_key: bodies.s3
  bodies.s3.secret_key: bodies.s3
  bodies.postgres.url: postgres.existingSecret
admin:
  redis: redis.existingSecret
  postgres.url: postgres.existingSecret
  listen: admin.ingress or admin.route
  runtime.shutdown_grace: admin.drainSeconds
  monitor: nothing; the port is fixed
  secrets: sealingKey
  public.address: admin.public.url
  public.url: admin.public.url
  public.tmtp_port: gateway.service.port
  public.proxies: admin.proxies
{{- end }}

{{- define "postern.problems.config" -}}
{{- range $component, $settings := include "postern.ownSettings" . | fromYaml }}
{{- $config := (get $.Values $component).config }}
{{- range $path, $instead := $settings }}
{{- $at := $config }}
{{- range splitList "." $path }}
{{- $at = ternary (get (ternary $at dict (kindIs "map" $at)) .) "" (kindIs "map" $at) }}
{{- end }}
{{- if not (has (kindOf $at) (list "invalid" "string") | and (empty $at)) }}
{{ $component }}.config.{{ $path }} is not set here; change {{ $instead }}
{{- end }}
{{- end }}
{{- end }}
{{- if dig "acme" "enabled" false .Values.admin.config }}
{{- if ne (int .Values.gateway.service.port) 443 }}
admin.config.acme.enabled needs gateway.service.port 443: that is where certificate authorities look
{{- end }}
{{- end }}
{{- if and .Values.admin.config.public (not .Values.admin.public.url) }}
admin.config.public is set, but admin.public.url is empty: there are no pages for invited people
{{- end }}
{{- end }}
