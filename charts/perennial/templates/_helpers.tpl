{{- define "perennial.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end -}}
{{- end }}

{{- define "perennial.serviceAccount" -}}
{{ .Values.serviceAccount.name | default (include "perennial.name" .) }}
{{- end }}

{{/* Names of what is not in a namespace: two releases may be in one cluster. */}}
{{- define "perennial.clusterName" -}}
{{ printf "%s:%s" .Release.Namespace (include "perennial.name" .) }}
{{- end }}

{{- define "perennial.selector" -}}
app.kubernetes.io/name: perennial-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "perennial.labels" -}}
{{ include "perennial.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{/* What the operator may do in a namespace that it looks after. Every verb is one that it uses. */}}
{{- define "perennial.rules" -}}
- apiGroups: [perennial.dev]
  resources: [modeltrainings, modeldeployments, driftmonitors]
  verbs: [get, list, watch]
{{- if and .Values.kubeflow.endpoint .Values.kubeflow.multiUser }}
{{ include "perennial.workflowRules" . }}
{{- end }}
# The finalizer while something of it is left to be ended or deleted.
- apiGroups: [perennial.dev]
  resources: [modeltrainings]
  verbs: [patch]
# create: only the operator registers versions. patch: quarantine marks, the finalizer while a version is in use.
# delete: those that a ModelTraining's retention no longer keeps.
- apiGroups: [perennial.dev]
  resources: [modelversions]
  verbs: [get, list, watch, create, patch, delete]
# The label perennial.dev/approval, by which a namespace has every version wait for a person.
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
- apiGroups: [perennial.dev]
  resources: [modeltrainings/status, modelversions/status, modeldeployments/status, driftmonitors/status]
  verbs: [update]
# Owner references that block the owner's deletion: clusters with OwnerReferencesPermissionEnforcement ask for this.
- apiGroups: [perennial.dev]
  resources: [modeldeployments/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [""]
  resources: [services]
  verbs: [get, list, watch, create, patch, delete]
# Of a run's request, of what predictors watch, and of pod overlays: watched by the label of their owner.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [gateway.networking.k8s.io]
  resources: [httproutes]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, create, patch, delete]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# The feedback keys are made, never read; of the store's credentials those that can only read; those of a namespace for
# a Kubeflow of its own.
- apiGroups: [""]
  resources: [secrets]
  verbs: [create]
- apiGroups: [""]
  resources: [secrets]
  resourceNames: [perennial-store-read, perennial-kubeflow]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end }}

{{/* By these Kubeflow runs whose workflow was deleted are known to be lost. */}}
{{- define "perennial.workflowRules" -}}
- apiGroups: [argoproj.io]
  resources: [workflows]
  verbs: [list]
{{- end }}

{{/* What all pods of the chart have in common: the restricted Pod Security Standard. */}}
{{- define "perennial.pod" -}}
automountServiceAccountToken: true
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
volumes:
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- end }}

{{- define "perennial.container" -}}
image: {{ .Values.image.operator }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
env:
- {name: PERENNIAL_COMPONENTS_IMAGE, value: {{ .Values.image.components | quote }}}
- {name: PERENNIAL_SERVING_IMAGE, value: {{ .Values.image.serving | quote }}}
{{- if .Values.image.feast }}
- {name: PERENNIAL_FEAST_IMAGE, value: {{ .Values.image.feast | quote }}}
{{- end }}
- {name: PERENNIAL_PROMETHEUS_URL, value: {{ .Values.prometheus.url | quote }}}
{{- with .Values.prometheus.headers }}
- {name: PERENNIAL_PROMETHEUS_HEADERS, value: {{ toJson . | quote }}}
{{- end }}
{{- if .Values.prometheus.caSecret }}
- {name: PERENNIAL_PROMETHEUS_CA, value: /etc/perennial/prometheus-ca}
{{- end }}
{{- if .Values.prometheus.authSecret }}
- {name: PERENNIAL_PROMETHEUS_AUTH, value: /etc/perennial/prometheus-auth}
{{- end }}
{{- with .Values.kubeflow }}
{{- if .endpoint }}
- {name: PERENNIAL_KUBEFLOW_ENDPOINT, value: {{ .endpoint | quote }}}
- {name: PERENNIAL_KUBEFLOW_MULTI_USER, value: {{ .multiUser | quote }}}
- {name: PERENNIAL_KUBEFLOW_CACHING, value: {{ .caching | quote }}}
- {name: PERENNIAL_KUBEFLOW_UI, value: {{ .ui | quote }}}
- {name: PERENNIAL_KUBEFLOW_EXPERIMENT, value: {{ .experiment | quote }}}
- {name: PERENNIAL_KUBEFLOW_PIPELINE_ROOT, value: {{ .pipelineRoot | quote }}}
- {name: PERENNIAL_KUBEFLOW_SERVICE_ACCOUNT, value: {{ .serviceAccount | quote }}}
{{- if not .multiUser }}
- {name: PERENNIAL_KUBEFLOW_NAMESPACE, value: {{ .namespace | quote }}}
{{- end }}
{{- with .headers }}
- {name: PERENNIAL_KUBEFLOW_HEADERS, value: {{ toJson . | quote }}}
{{- end }}
{{- if .caSecret }}
- {name: PERENNIAL_KUBEFLOW_CA, value: /etc/perennial/kubeflow-ca}
{{- end }}
{{- if or .authSecret .tokenAudience }}
- {name: PERENNIAL_KUBEFLOW_AUTH, value: /etc/perennial/kubeflow-auth}
{{- end }}
{{- end }}
{{- end }}
- {name: PERENNIAL_NAMESPACES, value: {{ join "," .Values.namespaces | quote }}}
- {name: PERENNIAL_LEASE_NAMESPACE, value: {{ .Release.Namespace | quote }}}
- {name: PERENNIAL_RESYNC_SECONDS, value: {{ .Values.resyncSeconds | quote }}}
- {name: PERENNIAL_LOG_LEVEL, value: {{ .Values.logLevel | quote }}}
# A pod's name is its own for ever, and a restarted container takes its own Lease back at once.
- name: PERENNIAL_IDENTITY
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
volumeMounts:
- {name: tmp, mountPath: /tmp}
{{- end }}
